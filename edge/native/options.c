#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"

const char usage[] =
    "usage: narrows-encode BUNDLE [INPUT] [OPTIONS]\n"
    "\n"
    "Frames to packets of features, with a bundle's device files (manifest.json,\n"
    "head_int8.safetensors or head.safetensors, tables.safetensors).\n"
    "\n"
    "  INPUT                PPM pictures (P6) one after the other; - or nothing: stdin\n"
    "  --yuyv WxH           INPUT is YUYV frames of this size, one after the other\n"
    "  --v4l2 DEVICE WxH    a camera's frames, the newest each time\n"
    "  --point N            operating point, 0 is the finest (0)\n"
    "  --frames N           end after so many\n"
    "  --out FILE           packets one after the other, each behind its length (4 bytes,\n"
    "                       little-endian); - or nothing: stdout\n"
    "  --each PREFIX        instead a file for each frame: PREFIX000000.packet, ...\n"
    "\n"
    "  ffmpeg -i clip.mp4 -f image2pipe -c:v ppm - | narrows-encode classify > packets\n"
    "\n"
    "Exit code 1: a frame is damaged or the camera fails (packets before it are written);\n"
    "2: an argument or the bundle; 3: the output cannot be written.\n";

static int number(const char* text, long limit, long* value) {
  char* end;
  errno = 0;
  *value = strtol(text, &end, 10);
  return end != text && !*end && !errno && *value >= 0 && *value <= limit;
}

static int size_of(const char* text, options* o) {
  unsigned wide = 0, high = 0;
  int used = 0;
  const int read = sscanf(text, "%5ux%5u%n", &wide, &high, &used);
  if (read != 2 || text[used] || !wide || wide % 2 || wide > MAX_SIDE || !high || high > MAX_SIDE)
    return complain(text, "expected a size such as 640x480, an even width, sides of at most %d",
                    MAX_SIDE);
  o->width = wide;
  o->height = high;
  return 1;
}

/* One option and what belongs to it, of `left` words: how many were used, 0 after a message. */
static int parse_option(char** words, int left, options* o) {
  const char *name = words[0], *value = words[1];
  const int camera = !strcmp(name, "--v4l2");
  long n;
  if (left < (camera ? 3 : 2)) return complain(name, "no such option, or its value is missing");
  if (camera) {
    o->device = value;
    return size_of(words[2], o) ? 3 : 0;
  }
  if (!strcmp(name, "--yuyv")) return size_of(value, o) ? 2 : 0;
  if (!strcmp(name, "--out")) return o->out = value, 2;
  if (!strcmp(name, "--each")) return o->each = value, 2;
  if (!strcmp(name, "--point") && number(value, 255, &n)) return o->point = (int)n, 2;
  if (!strcmp(name, "--frames") && number(value, 2147483647, &n)) return o->frames = n, 2;
  if (!strcmp(name, "--point") || !strcmp(name, "--frames"))
    return complain(name, "expected a number, got %s", value);
  return complain(name, "no such option: narrows-encode --help");
}

int parse_options(int argc, char** argv, options* o) {
  *o = (options){.frames = -1};
  for (int i = 1, used; i < argc; i += used) {
    used = 1;
    if (argv[i][0] == '-' && argv[i][1])
      used = parse_option(argv + i, argc - i, o);
    else if (!o->bundle)
      o->bundle = argv[i];
    else if (!o->input)
      o->input = argv[i];
    else
      return complain(argv[i], "one INPUT only: cat several into a pipe");
    if (!used) return 0;
  }
  if (!o->bundle) return complain("BUNDLE", "missing: narrows-encode --help");
  if (o->device && o->input) return complain(o->input, "a camera or an INPUT, not both");
  if (o->out && o->each) return complain(o->each, "--out or --each, not both");
  return 1;
}
