/* Where frames come from: PPM pictures or YUYV frames one after the other, or a camera.
 *
 * Their rows are read one at a time, as RGB. What fails says why on standard error, in a line. */
#ifndef NARROWS_EDGE_FRAMES_H
#define NARROWS_EDGE_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { MAX_SIDE = 16384 };

typedef enum { FRAME_BEGINS, FRAMES_END, FRAME_FAILED } frame_state;

typedef struct frames frames;
struct frames {
  const char* name; /* for messages */
  size_t height, width;
  frame_state (*begin)(frames* from); /* sets height and width, 1 to MAX_SIDE */
  int (*row)(frames* from, size_t y, uint8_t* rgb);
  FILE* file;
  uint8_t* line; /* of YUYV, as read from a file */
  struct camera* camera;
};

/* Each returns 0 after a message. The file is the caller's. */
int ppm_open(frames* from, FILE* file, const char* name);
int yuyv_open(frames* from, FILE* file, const char* name, size_t height, size_t width);
int camera_open(frames* from, const char* device, size_t height, size_t width);
void frames_close(frames* from);
void camera_close(struct camera* camera);

/* A line of `width` pixels, 2 bytes each, to RGB: BT.601 of video range, as OpenCV converts it. */
void yuyv_to_rgb(const uint8_t* yuyv, size_t width, uint8_t* rgb);

/* A line on standard error. Returns 0. */
int complain(const char* name, const char* format, ...) __attribute__((format(printf, 2, 3)));

#endif
