/* Frames from a file or a pipe. */
#include "frames.h"

#include <stdarg.h>
#include <stdlib.h>

int complain(const char* name, const char* format, ...) {
  va_list arguments;
  fprintf(stderr, "narrows-encode: %s: ", name);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  return 0;
}

void frames_close(frames* from) {
  free(from->line);
  camera_close(from->camera);
}

static int read_exactly(frames* from, uint8_t* to, size_t bytes, size_t y) {
  if (fread(to, 1, bytes, from->file) == bytes) return 1;
  return complain(from->name, "ends in row %zu of %zu: a frame of %zu x %zu was begun", y,
                  from->height, from->width, from->height);
}

/* The next number of a PPM's header and the one blank behind it; 0 if there is none, or one beyond
 * `limit`. Blanks and comments may stand before it. */
static size_t header_number(FILE* file, size_t limit) {
  int c = fgetc(file);
  while (c == ' ' || (c >= '\t' && c <= '\r') || c == '#') {
    if (c == '#')
      while (c != '\n' && c != EOF) c = fgetc(file);
    else
      c = fgetc(file);
  }
  size_t value = 0;
  for (; c >= '0' && c <= '9' && value <= limit; c = fgetc(file)) value = 10 * value + (c - '0');
  return c == ' ' || (c >= '\t' && c <= '\r') ? (value <= limit ? value : 0) : 0;
}

static frame_state ppm_begin(frames* from) {
  const int first = fgetc(from->file);
  if (first == EOF && !ferror(from->file)) return FRAMES_END;
  if (first != 'P' || fgetc(from->file) != '6') {
    complain(from->name, "expected a binary PPM (P6)");
    return FRAME_FAILED;
  }
  from->width = header_number(from->file, MAX_SIDE);
  from->height = from->width ? header_number(from->file, MAX_SIDE) : 0;
  if (from->height && header_number(from->file, 65535) == 255) return FRAME_BEGINS;
  complain(from->name, "expected a PPM of 8 bits (largest value 255), sides of 1 to %d", MAX_SIDE);
  return FRAME_FAILED;
}

static int ppm_row(frames* from, size_t y, uint8_t* rgb) {
  return read_exactly(from, rgb, 3 * from->width, y);
}

int ppm_open(frames* from, FILE* file, const char* name) {
  *from = (frames){.name = name, .begin = ppm_begin, .row = ppm_row, .file = file};
  return 1;
}

static frame_state yuyv_begin(frames* from) {
  const int first = fgetc(from->file);
  if (first == EOF) return ferror(from->file) ? FRAME_FAILED : FRAMES_END;
  ungetc(first, from->file);
  return FRAME_BEGINS;
}

static int yuyv_row(frames* from, size_t y, uint8_t* rgb) {
  if (!read_exactly(from, from->line, 2 * from->width, y)) return 0;
  yuyv_to_rgb(from->line, from->width, rgb);
  return 1;
}

int yuyv_open(frames* from, FILE* file, const char* name, size_t height, size_t width) {
  *from = (frames){name, height, width, yuyv_begin, yuyv_row, file, malloc(2 * width), NULL};
  return from->line ? 1 : complain(name, "out of memory");
}

static uint8_t to_byte(int32_t value) {
  return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

void yuyv_to_rgb(const uint8_t* yuyv, size_t width, uint8_t* rgb) {
  enum { BITS = 20, HALF = 1 << (BITS - 1) }; /* 1.164, 1.596, 0.813, 0.391, 2.018 */
  for (size_t x = 0; x + 1 < width; x += 2, yuyv += 4) {
    const int32_t u = yuyv[1] - 128, v = yuyv[3] - 128;
    const int32_t red = HALF + 1673527 * v, blue = HALF + 2116026 * u;
    const int32_t green = HALF - 852492 * v - 409993 * u;
    for (int i = 0; i < 2; ++i) {
      const int32_t luma = 1220542 * (yuyv[2 * i] < 16 ? 0 : yuyv[2 * i] - 16);
      *rgb++ = to_byte((luma + red) >> BITS);
      *rgb++ = to_byte((luma + green) >> BITS);
      *rgb++ = to_byte((luma + blue) >> BITS);
    }
  }
}
