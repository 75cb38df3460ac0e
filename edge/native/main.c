/* narrows-encode: frames to packets, on a board without Python. `narrows-encode --help` says how.
 */
#include <errno.h>
#include <narrows/narrows.h>
#include <signal.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "frames.h"
#include "options.h"
#include "packets.h"
#include "resize.h"

enum { DONE, BAD_INPUT, BAD_ARGUMENT, BAD_OUTPUT, MAX_PACKET = 1 << 20 };

/* The frame that began, at the network's size `seen`; null after a message. */
static const uint8_t* read_picture(frames* from, const view* seen, resizer** scaled) {
  static uint8_t row[3 * MAX_SIDE];
  *scaled = resizer_fit(*scaled, seen);
  if (!*scaled) complain(from->name, "out of memory");
  for (size_t y = 0; *scaled && y < from->height; ++y) {
    if (!from->row(from, y, row)) return NULL;
    resizer_add(*scaled, y, row);
  }
  return *scaled ? resizer_picture(*scaled) : NULL;
}

/* The frame that began to its packet. Returns an exit code. */
static int encode_frame(const narrows_bundle* bundle, int point, frames* from, resizer** scaled,
                        packets* to, long frame) {
  static uint8_t packet[MAX_PACKET];
  const narrows_rule rule = narrows_input_rule(bundle);
  const view seen =
      view_of(from->height, from->width, rule.short_side, rule.max_aspect, rule.stride);
  narrows_shape shape;
  size_t size;
  /* It refuses what a bundle cannot mean before there is memory for it. */
  if (narrows_latent_shape(bundle, seen.height, seen.width, &shape) != NARROWS_OK)
    return complain("bundle", "%s", narrows_last_error()) + BAD_ARGUMENT;
  const uint8_t* picture = read_picture(from, &seen, scaled);
  if (!picture) return BAD_INPUT;
  if (narrows_encode_picture(bundle, picture, seen.filled_height, seen.filled_width, point, packet,
                             sizeof packet, &size) != NARROWS_OK)
    return complain("bundle", "%s", narrows_last_error()) + BAD_ARGUMENT;
  return packets_write(to, frame, packet, size) ? DONE : BAD_OUTPUT;
}

static int encode_frames(const options* o, const narrows_bundle* bundle, frames* from,
                         packets* to) {
  resizer* scaled = NULL;
  int code = DONE;
  for (long frame = 0; code == DONE && frame != o->frames; ++frame) {
    const frame_state state = from->begin(from);
    if (state == FRAMES_END) break;
    code = state == FRAME_FAILED ? BAD_INPUT
                                 : encode_frame(bundle, o->point, from, &scaled, to, frame);
  }
  resizer_close(scaled);
  return code;
}

static int with_output(const options* o, const narrows_bundle* bundle, frames* from) {
  packets to;
  if (!packets_open(&to, o->out, o->each)) return BAD_OUTPUT;
  const int code = encode_frames(o, bundle, from, &to);
  return !packets_close(&to) && code == DONE ? BAD_OUTPUT : code;
}

static int with_input(const options* o, const narrows_bundle* bundle) {
  const int standard = !o->input || !strcmp(o->input, "-");
  const char* name = standard ? "stdin" : o->input;
  FILE* file = NULL;
  if (o->point >= narrows_points(bundle))
    return complain("--point", "this bundle has 0 to %d", narrows_points(bundle) - 1) +
           BAD_ARGUMENT;
  if (!o->device && !(file = standard ? stdin : fopen(o->input, "rb")))
    return complain(name, "%s", strerror(errno)) + BAD_ARGUMENT;
  frames from;
  const int ready = o->device  ? camera_open(&from, o->device, o->height, o->width)
                    : o->width ? yuyv_open(&from, file, name, o->height, o->width)
                               : ppm_open(&from, file, name);
  const int code = ready ? with_output(o, bundle, &from) : BAD_INPUT;
  frames_close(&from);
  if (file && file != stdin) fclose(file);
  return code;
}

int main(int argc, char** argv) {
  options o;
  narrows_bundle* bundle;
  if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
    return fputs(usage, stdout) == EOF;
  if (!parse_options(argc, argv, &o)) return BAD_ARGUMENT;
  signal(SIGPIPE, SIG_IGN); /* a reader that leaves is an error with a name */
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 16); /* what files and large frames took goes back at once */
#endif
  if (narrows_open(o.bundle, &bundle) != NARROWS_OK)
    return complain("bundle", "%s", narrows_last_error()) + BAD_ARGUMENT;
  const int code = with_input(&o, bundle);
  narrows_close(bundle);
  return code;
}
