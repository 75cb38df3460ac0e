/* The command line of narrows-encode. */
#ifndef NARROWS_EDGE_OPTIONS_H
#define NARROWS_EDGE_OPTIONS_H

#include <stddef.h>

typedef struct {
  const char *bundle, *input, *device, *out, *each;
  size_t height, width; /* of YUYV; 0: PPM */
  int point;
  long frames; /* -1: all */
} options;

extern const char usage[];

/* Returns 0 after a message. */
int parse_options(int argc, char** argv, options* o);

#endif
