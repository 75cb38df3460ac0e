/* A frame's rows to the network's size: the rule of images/preprocess.py, bit for bit.
 *
 * Rows come in one at a time and a window of them is kept, so a large frame takes little memory. */
#ifndef NARROWS_EDGE_RESIZE_H
#define NARROWS_EDGE_RESIZE_H

#include <stddef.h>
#include <stdint.h>

/* What of a frame is seen, and the size of the picture made of it. */
typedef struct {
  size_t left, top, crop_height, crop_width;
  size_t height, width;
  size_t filled_height, filled_width; /* to multiples of the head's stride */
} view;

view view_of(size_t height, size_t width, size_t short_side, double max_aspect, size_t stride);

typedef struct resizer resizer;

/* `kept` if it was made for such a view, else another in its place; null where there is no memory.
 */
resizer* resizer_fit(resizer* kept, const view* seen);
void resizer_close(resizer* resizer);

/* Row `y` of the whole frame, RGB; from 0 on, in order. Row 0 begins a new picture. */
void resizer_add(resizer* resizer, size_t y, const uint8_t* row);

/* RGB, filled_height x filled_width x 3 bytes, once all rows were added: the last column and row
 * repeated, so that the head takes it as it lies. */
const uint8_t* resizer_picture(const resizer* resizer);

#endif
