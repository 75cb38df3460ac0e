/* A V4L2 camera's YUYV frames, always the newest: a frame that is late costs those before it. */
#include "frames.h"

#ifdef __linux__
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUFFERS = 2, SILENCE_MS = 5000 };

struct camera {
  int device;
  size_t line_bytes; /* from one row to the next */
  struct {
    uint8_t* bytes;
    size_t size;
  } buffers[BUFFERS];
  struct v4l2_buffer held; /* the frame being read */
  int holds;
};

static int ask(int device, unsigned long request, void* argument) {
  int result;
  do result = ioctl(device, request, argument);
  while (result < 0 && errno == EINTR);
  return result >= 0;
}

static struct v4l2_buffer buffer_of(unsigned index) {
  return (struct v4l2_buffer){
      .index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
}

static int choose_format(frames* from) {
  const int device = from->camera->device;
  struct v4l2_capability can = {0};
  if (!ask(device, VIDIOC_QUERYCAP, &can)) return complain(from->name, "not a V4L2 device");
  const unsigned does =
      can.capabilities & V4L2_CAP_DEVICE_CAPS ? can.device_caps : can.capabilities;
  if (!(does & V4L2_CAP_VIDEO_CAPTURE) || !(does & V4L2_CAP_STREAMING))
    return complain(from->name, "a V4L2 device that does not stream captured frames");
  struct v4l2_format format = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
  struct v4l2_pix_format* pixels = &format.fmt.pix;
  pixels->width = (unsigned)from->width;
  pixels->height = (unsigned)from->height;
  pixels->pixelformat = V4L2_PIX_FMT_YUYV;
  pixels->field = V4L2_FIELD_NONE;
  if (!ask(device, VIDIOC_S_FMT, &format))
    return complain(from->name, "takes no format: %s", strerror(errno));
  if (pixels->pixelformat != V4L2_PIX_FMT_YUYV || pixels->width != from->width ||
      pixels->height != from->height || pixels->bytesperline < 2 * from->width)
    return complain(from->name, "has no YUYV of %zu x %zu; nearest is %.4s of %u x %u", from->width,
                    from->height, (const char*)&pixels->pixelformat, pixels->width, pixels->height);
  from->camera->line_bytes = pixels->bytesperline;
  return 1;
}

/* Bytes of a frame, up to the last row's last pixel. */
static size_t frame_bytes(const frames* from) {
  return from->camera->line_bytes * (from->height - 1) + 2 * from->width;
}

static int map_buffers(frames* from) {
  struct camera* camera = from->camera;
  struct v4l2_requestbuffers wanted = {
      .count = BUFFERS, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
  if (!ask(camera->device, VIDIOC_REQBUFS, &wanted) || wanted.count < BUFFERS)
    return complain(from->name, "gives no buffers: %s", strerror(errno));
  for (unsigned i = 0; i < BUFFERS; ++i) {
    struct v4l2_buffer buffer = buffer_of(i);
    if (!ask(camera->device, VIDIOC_QUERYBUF, &buffer) || buffer.length < frame_bytes(from))
      return complain(from->name, "its buffers are too small for a frame");
    void* at = mmap(NULL, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, camera->device,
                    (off_t)buffer.m.offset);
    if (at == MAP_FAILED) return complain(from->name, "no memory map: %s", strerror(errno));
    camera->buffers[i].bytes = at;
    camera->buffers[i].size = buffer.length;
    if (!ask(camera->device, VIDIOC_QBUF, &buffer))
      return complain(from->name, "takes no buffer: %s", strerror(errno));
  }
  int kind = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  if (!ask(camera->device, VIDIOC_STREAMON, &kind))
    return complain(from->name, "does not stream: %s", strerror(errno));
  return 1;
}

/* Whether a frame is there: 1, or 0, or -1 for a camera that is gone. */
static int awaits(const struct camera* camera, int timeout_ms) {
  struct pollfd wait = {.fd = camera->device, .events = POLLIN};
  int ready;
  do ready = poll(&wait, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);
  return ready > 0 && !(wait.revents & POLLIN) ? -1 : ready;
}

/* Another frame for the one held. */
static int take(frames* from) {
  struct camera* camera = from->camera;
  if (camera->holds && !ask(camera->device, VIDIOC_QBUF, &camera->held))
    return complain(from->name, "takes no buffer: %s", strerror(errno));
  camera->held = buffer_of(0);
  camera->holds = ask(camera->device, VIDIOC_DQBUF, &camera->held) && camera->held.index < BUFFERS;
  return camera->holds || complain(from->name, "gives no frame: %s", strerror(errno));
}

static int whole(const frames* from) {
  const struct v4l2_buffer* held = &from->camera->held;
  return !(held->flags & V4L2_BUF_FLAG_ERROR) && held->bytesused >= frame_bytes(from);
}

static frame_state camera_begin(frames* from) {
  const struct camera* camera = from->camera;
  do {
    const int ready = awaits(camera, SILENCE_MS);
    if (ready < 0) complain(from->name, "is gone");
    if (ready == 0) complain(from->name, "no frame in %d s", SILENCE_MS / 1000);
    if (ready <= 0 || !take(from)) return FRAME_FAILED;
    while (awaits(camera, 0) > 0) /* a newer one */
      if (!take(from)) return FRAME_FAILED;
  } while (!whole(from));
  return FRAME_BEGINS;
}

static int camera_row(frames* from, size_t y, uint8_t* rgb) {
  const struct camera* camera = from->camera;
  yuyv_to_rgb(camera->buffers[camera->held.index].bytes + y * camera->line_bytes, from->width, rgb);
  return 1;
}

int camera_open(frames* from, const char* device, size_t height, size_t width) {
  *from = (frames){device, height, width, camera_begin, camera_row, NULL, NULL, NULL};
  from->camera = calloc(1, sizeof *from->camera);
  if (!from->camera) return complain(device, "out of memory");
  from->camera->device = open(device, O_RDWR | O_CLOEXEC);
  if (from->camera->device < 0) return complain(device, "%s", strerror(errno));
  return choose_format(from) && map_buffers(from);
}

void camera_close(struct camera* camera) {
  if (!camera) return;
  for (int i = 0; i < BUFFERS; ++i)
    if (camera->buffers[i].bytes) munmap(camera->buffers[i].bytes, camera->buffers[i].size);
  if (camera->device >= 0) close(camera->device);
  free(camera);
}

#else

int camera_open(frames* from, const char* device, size_t height, size_t width) {
  *from = (frames){.name = device, .height = height, .width = width};
  return complain(device, "cameras are read through V4L2, which is Linux'");
}

void camera_close(struct camera* camera) { (void)camera; }

#endif
