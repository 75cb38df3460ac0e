/* A V4L2 camera in place of the C library's open, ioctl and poll: 64 x 48 YUYV frames of the file
 * FILM, rows padded, the fourth marked broken. Only a poll that waits lets it film, into every
 * buffer it holds. After the film it is unplugged. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WIDTH = 64, HEIGHT = 48, LINE = 2 * WIDTH + 32, SLOT = 8192, SLOTS = 2, BROKEN = 3 };

static int device = -1, film = -1, filmed;
static int empty[SLOTS], full[SLOTS], empties, fulls; /* slots, in order */
static int broken[SLOTS];

static int first_of(int* queue, int* count) {
  const int slot = queue[0];
  memmove(queue, queue + 1, sizeof *queue * (size_t)--*count);
  return slot;
}

static int film_one(int slot) {
  uint8_t line[2 * WIDTH];
  for (int y = 0; y < HEIGHT; ++y) {
    if (read(film, line, sizeof line) != sizeof line) return 0;
    if (pwrite(device, line, sizeof line, SLOT * slot + LINE * y) != sizeof line) return 0;
  }
  broken[slot] = filmed++ == BROKEN;
  return 1;
}

int open(const char* path, int flags, ...) {
  int (*real)(const char*, int, ...) = (int (*)(const char*, int, ...))dlsym(RTLD_NEXT, "open");
  if (strcmp(path, "/dev/video-of-a-test")) return real(path, flags);
  if (getenv("FILM")) film = real(getenv("FILM"), O_RDONLY);
  device = memfd_create("camera", 0);
  return ftruncate(device, SLOT * SLOTS) ? -1 : device;
}

int poll(struct pollfd* wait, nfds_t count, int timeout_ms) {
  int unplugged = 0;
  while (timeout_ms && empties && !unplugged) {
    const int slot = empty[0];
    unplugged = !film_one(slot);
    if (!unplugged) full[fulls++] = first_of(empty, &empties);
  }
  wait->revents = fulls ? POLLIN : timeout_ms ? POLLERR : 0;
  return (int)count * (wait->revents != 0);
}

static int set_format(struct v4l2_pix_format* pixels) {
  pixels->width = WIDTH;
  pixels->height = HEIGHT;
  pixels->pixelformat = V4L2_PIX_FMT_YUYV;
  pixels->bytesperline = LINE;
  return 0;
}

static int take_out(struct v4l2_buffer* buffer) {
  if (!fulls) return errno = EAGAIN, -1;
  buffer->index = (unsigned)first_of(full, &fulls);
  buffer->bytesused = LINE * HEIGHT;
  buffer->flags = broken[buffer->index] ? V4L2_BUF_FLAG_ERROR : 0;
  return 0;
}

int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void* argument = va_arg(rest, void*);
  va_end(rest);
  struct v4l2_buffer* buffer = argument;
  if (fd != device) return errno = ENOTTY, -1;
  switch (request) {
    case VIDIOC_QUERYCAP:
      ((struct v4l2_capability*)argument)->capabilities =
          V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
      return 0;
    case VIDIOC_S_FMT:
      return set_format(&((struct v4l2_format*)argument)->fmt.pix);
    case VIDIOC_QUERYBUF:
      buffer->length = SLOT;
      buffer->m.offset = SLOT * buffer->index;
      return 0;
    case VIDIOC_QBUF:
      empty[empties++] = (int)buffer->index;
      return 0;
    case VIDIOC_DQBUF:
      return take_out(buffer);
    default:
      return 0;
  }
}
