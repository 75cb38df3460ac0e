#include "packets.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "frames.h"

int packets_open(packets* to, const char* path, const char* prefix) {
  const int standard = !path || !strcmp(path, "-");
  *to = (packets){stdout, standard ? "stdout" : path, prefix};
  if (prefix) return 1;
  if (standard && isatty(STDOUT_FILENO))
    return complain(to->name, "packets are no text: name a file by --out");
  if (!standard && !(to->file = fopen(path, "wb"))) return complain(path, "%s", strerror(errno));
  return 1;
}

static int write_each(const char* prefix, long frame, const uint8_t* packet, size_t size) {
  char path[4096];
  if (snprintf(path, sizeof path, "%s%06ld.packet", prefix, frame) >= (int)sizeof path)
    return complain("--each", "the name is too long");
  FILE* file = fopen(path, "wb");
  const int written = file && fwrite(packet, 1, size, file) == size;
  const int closed = file && !fclose(file);
  return (written && closed) || complain(path, "%s", strerror(errno));
}

int packets_write(packets* to, long frame, const uint8_t* packet, size_t size) {
  if (to->prefix) return write_each(to->prefix, frame, packet, size);
  uint8_t length[4];
  for (int i = 0; i < 4; ++i) length[i] = (uint8_t)(size >> 8 * i);
  const int written = fwrite(length, 1, 4, to->file) == 4 &&
                      fwrite(packet, 1, size, to->file) == size && !fflush(to->file);
  return written || complain(to->name, "%s", strerror(errno));
}

int packets_close(packets* to) {
  if (to->prefix || !fclose(to->file)) return 1;
  return complain(to->name, "%s", strerror(errno));
}
