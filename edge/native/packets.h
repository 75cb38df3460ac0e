/* Where packets go: one file or pipe, each packet behind its length, or a file for each. */
#ifndef NARROWS_EDGE_PACKETS_H
#define NARROWS_EDGE_PACKETS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct {
  FILE* file;
  const char* name;
  const char* prefix; /* of the files for each; null: all to `file` */
} packets;

/* `path` "-" or null is stdout. Each returns 0 after a message. */
int packets_open(packets* to, const char* path, const char* prefix);
int packets_write(packets* to, long frame, const uint8_t* packet, size_t size);
int packets_close(packets* to);

#endif
