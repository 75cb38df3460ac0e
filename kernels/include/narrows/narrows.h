/* Narrows on a device, from C: a bundle's head and coder, a picture in, a packet out.
 *
 * A call that fails returns a status and leaves its outputs alone; narrows_last_error says what was
 * expected, what came, and what to do. One narrows_bundle may be used from several threads. */
#ifndef NARROWS_H
#define NARROWS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NARROWS_API __attribute__((visibility("default")))
#else
#define NARROWS_API
#endif

typedef struct narrows_bundle narrows_bundle;

typedef enum {
  NARROWS_OK = 0,
  NARROWS_BAD_BUNDLE = 1,   /* files missing, or they do not fit together */
  NARROWS_BAD_ARGUMENT = 2, /* an operating point or a size that the bundle does not have */
  NARROWS_TOO_SMALL = 3,    /* the caller's buffer */
  NARROWS_BAD_PACKET = 4,   /* not a packet of this bundle, or damaged on the way */
  NARROWS_FAILED = 5        /* out of memory */
} narrows_status;

/* Of a latent: channels x height x width floats. */
typedef struct {
  size_t channels, height, width;
} narrows_shape;

/* What a photograph is brought to before the head (docs/bundle.md). */
typedef struct {
  size_t short_side; /* pixels */
  double max_aspect; /* the long side at most so many short ones, cropped from the centre */
  size_t stride;     /* sides are filled up to multiples of it by repeating the edge */
} narrows_rule;

/* Of the last call of this thread that failed. */
NARROWS_API const char* narrows_last_error(void);

/* The device's part of a bundle's folder: manifest.json, tables.safetensors, and
 * head_int8.safetensors or else head.safetensors. */
NARROWS_API narrows_status narrows_open(const char* folder, narrows_bundle** bundle);
NARROWS_API void narrows_close(narrows_bundle* bundle);

NARROWS_API int narrows_points(const narrows_bundle* bundle);
NARROWS_API narrows_rule narrows_input_rule(const narrows_bundle* bundle);

/* The latent of a picture. One whose sides are no multiples of the stride is copied and filled. */
NARROWS_API narrows_status narrows_latent_shape(const narrows_bundle* bundle, size_t height,
                                                size_t width, narrows_shape* shape);

/* RGB, height x width x 3 bytes, resized by the bundle's rule -> its latent. edge/native/resize.c
 * resizes as the Python device does. */
NARROWS_API narrows_status narrows_run_head(const narrows_bundle* bundle, const uint8_t* picture,
                                            size_t height, size_t width, float* latent,
                                            size_t capacity);

/* A latent, height x width of the bundle's channels -> a packet at an operating point. `capacity`
 * bytes at `packet`; `size` becomes the packet's, also where it is too small. */
NARROWS_API narrows_status narrows_encode_latent(const narrows_bundle* bundle, const float* latent,
                                                 size_t height, size_t width, int point,
                                                 uint8_t* packet, size_t capacity, size_t* size);

/* Both at once. */
NARROWS_API narrows_status narrows_encode_picture(const narrows_bundle* bundle,
                                                  const uint8_t* picture, size_t height,
                                                  size_t width, int point, uint8_t* packet,
                                                  size_t capacity, size_t* size);

/* A packet -> its latent, `capacity` floats at `latent`. Reads nothing beyond `size`, whatever the
 * bytes. `shape` and `point` become the packet's. */
NARROWS_API narrows_status narrows_decode(const narrows_bundle* bundle, const uint8_t* packet,
                                          size_t size, float* latent, size_t capacity,
                                          narrows_shape* shape, int* point);

#ifdef __cplusplus
}
#endif

#endif
