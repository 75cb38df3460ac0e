/* Antialiased bilinear resize as Pillow's Resample.c computes it for 8 bits: first across, then
 * down, each with weights of 22 fractional bits and a rounding to bytes. */
#include "resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRACTION_BITS = 22 };

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }
static size_t rounded(double value) { return (size_t)nearbyint(value); } /* half to even */

static size_t filled(size_t side, size_t stride) { return (side + stride - 1) / stride * stride; }

view view_of(size_t height, size_t width, size_t short_side, double max_aspect, size_t stride) {
  const double scale = (double)short_side / (double)smaller(height, width);
  const size_t longest = (size_t)(max_aspect * (double)short_side);
  const size_t limit = larger(1, rounded((double)longest / scale));
  const size_t high = smaller(height, limit), wide = smaller(width, limit);
  view seen = {(width - wide) / 2, (height - high) / 2, high, wide, short_side, short_side, 0, 0};
  if (high > wide)
    seen.height = smaller(longest, larger(short_side, rounded((double)high * scale)));
  if (wide > high) seen.width = smaller(longest, larger(short_side, rounded((double)wide * scale)));
  seen.filled_height = filled(seen.height, stride);
  seen.filled_width = filled(seen.width, stride);
  return seen;
}

/* One direction: each of `to` outputs is a weighted sum of `count` inputs from `first` on. */
typedef struct {
  size_t to, taps;
  size_t *first, *count;
  int32_t* weights; /* to x taps */
} axis;

static void axis_close(axis* a) {
  free(a->first);
  free(a->count);
  free(a->weights);
}

static double triangle(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }

static void weigh(axis* a, size_t from, size_t i, double scale, double reach, double* exact) {
  const double centre = ((double)i + 0.5) * scale;
  const double begin = centre - reach + 0.5;
  const size_t first = begin > 0 ? (size_t)begin : 0;
  const size_t end = smaller(from, (size_t)(centre + reach + 0.5));
  double sum = 0;
  for (size_t t = 0; t < end - first; ++t) {
    exact[t] = triangle(((double)(t + first) - centre + 0.5) * (1 / reach));
    sum += exact[t];
  }
  a->first[i] = first;
  a->count[i] = end - first;
  for (size_t t = 0; t < end - first; ++t)
    a->weights[i * a->taps + t] = (int32_t)(0.5 + exact[t] / sum * (1 << FRACTION_BITS));
}

static int axis_open(axis* a, size_t from, size_t to) {
  const double scale = (double)from / (double)to;
  const double reach = scale < 1 ? 1 : scale;
  a->to = to;
  a->taps = 2 * (size_t)ceil(reach) + 1;
  a->first = calloc(to, sizeof *a->first);
  a->count = calloc(to, sizeof *a->count);
  a->weights = calloc(to * a->taps, sizeof *a->weights);
  double* exact = calloc(a->taps, sizeof *exact);
  const int made = a->first && a->count && a->weights && exact;
  for (size_t i = 0; made && i < to; ++i) weigh(a, from, i, scale, reach, exact);
  free(exact);
  return made;
}

struct resizer {
  view seen;
  axis across, down;
  size_t finished;  /* rows of the picture */
  uint8_t* window;  /* the last down.taps rows, already resized across; row y at y modulo taps */
  int32_t* sums;    /* width x 3 */
  uint8_t* picture; /* filled_height x filled_width x 3 */
};

resizer* resizer_fit(resizer* kept, const view* seen) {
  if (kept && !memcmp(&kept->seen, seen, sizeof *seen)) return kept;
  resizer_close(kept);
  resizer* made = calloc(1, sizeof *made);
  if (!made) return NULL;
  made->seen = *seen;
  const int axes = axis_open(&made->across, seen->crop_width, seen->width) &&
                   axis_open(&made->down, seen->crop_height, seen->height);
  if (axes) {
    made->window = malloc(made->down.taps * seen->width * 3);
    made->sums = malloc(seen->width * 3 * sizeof *made->sums);
    made->picture = malloc(seen->filled_height * seen->filled_width * 3);
  }
  if (made->window && made->sums && made->picture) return made;
  resizer_close(made);
  return NULL;
}

void resizer_close(resizer* resizer) {
  if (!resizer) return;
  axis_close(&resizer->across);
  axis_close(&resizer->down);
  free(resizer->window);
  free(resizer->sums);
  free(resizer->picture);
  free(resizer);
}

static uint8_t to_byte(int32_t sum) {
  sum >>= FRACTION_BITS;
  return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void resize_across(const axis* a, const uint8_t* row, uint8_t* out) {
  for (size_t x = 0; x < a->to; ++x) {
    const int32_t* weights = a->weights + x * a->taps;
    const uint8_t* pixel = row + 3 * a->first[x];
    int32_t sum[3] = {1 << (FRACTION_BITS - 1), 1 << (FRACTION_BITS - 1), 1 << (FRACTION_BITS - 1)};
    for (size_t t = 0; t < a->count[x]; ++t)
      for (int c = 0; c < 3; ++c) sum[c] += *pixel++ * weights[t];
    for (int c = 0; c < 3; ++c) *out++ = to_byte(sum[c]);
  }
}

static void resize_down(const resizer* r, size_t y, uint8_t* out) {
  const size_t row_bytes = r->seen.width * 3;
  for (size_t x = 0; x < row_bytes; ++x) r->sums[x] = 1 << (FRACTION_BITS - 1);
  for (size_t t = 0; t < r->down.count[y]; ++t) {
    const int32_t weight = r->down.weights[y * r->down.taps + t];
    const uint8_t* row = r->window + (r->down.first[y] + t) % r->down.taps * row_bytes;
    for (size_t x = 0; x < row_bytes; ++x) r->sums[x] += row[x] * weight;
  }
  for (size_t x = 0; x < row_bytes; ++x) out[x] = to_byte(r->sums[x]);
}

/* Row y of the picture, and below the last one the rows that repeat it. */
static void finish_row(resizer* r, size_t y) {
  const view* seen = &r->seen;
  const size_t row_bytes = seen->filled_width * 3, last = (seen->width - 1) * 3;
  uint8_t* row = r->picture + y * row_bytes;
  resize_down(r, y, row);
  for (size_t x = last + 3; x < row_bytes; x += 3) memcpy(row + x, row + last, 3);
  if (y + 1 < seen->height) return;
  for (size_t below = seen->height; below < seen->filled_height; ++below)
    memcpy(r->picture + below * row_bytes, row, row_bytes);
}

void resizer_add(resizer* r, size_t y, const uint8_t* row) {
  const size_t row_bytes = r->seen.width * 3;
  if (y == 0) r->finished = 0;
  if (y < r->seen.top || y >= r->seen.top + r->seen.crop_height) return;
  y -= r->seen.top;
  resize_across(&r->across, row + 3 * r->seen.left, r->window + y % r->down.taps * row_bytes);
  while (r->finished < r->down.to &&
         r->down.first[r->finished] + r->down.count[r->finished] <= y + 1)
    finish_row(r, r->finished++);
}

const uint8_t* resizer_picture(const resizer* resizer) { return resizer->picture; }
