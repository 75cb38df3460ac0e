/* A PPM photograph to a packet file:
 *
 *     encode BUNDLE PHOTO.ppm POINT PACKET
 *
 * The photograph already has the bundle's size (its short side the manifest's short_side). */
#include <narrows/narrows.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_SIDE = 4096, MAX_PACKET = 1 << 20 };

static int failed(const char* what) {
  fprintf(stderr, "%s: %s\n", what, narrows_last_error());
  return 2;
}

/* RGB of a binary PPM (P6, 8 bits); null, with a message, if it is not one. */
static uint8_t* read_ppm(const char* path, size_t* height, size_t* width) {
  FILE* file = fopen(path, "rb");
  unsigned high, wide, most;
  if (!file || fscanf(file, "P6 %u %u %u", &wide, &high, &most) != 3 || most != 255 || !wide ||
      !high || wide > MAX_SIDE || high > MAX_SIDE || fgetc(file) == EOF) {
    fprintf(stderr, "%s: expected a binary PPM of 8 bits\n", path);
    if (file) fclose(file);
    return NULL;
  }
  const size_t size = (size_t)high * wide * 3;
  uint8_t* pixels = malloc(size);
  if (pixels && fread(pixels, 1, size, file) != size) {
    fprintf(stderr, "%s: it ends before its pixels do\n", path);
    free(pixels);
    pixels = NULL;
  }
  fclose(file);
  *height = high;
  *width = wide;
  return pixels;
}

int main(int argc, char** argv) {
  static uint8_t packet[MAX_PACKET];
  narrows_bundle* bundle;
  size_t height, width, size;
  if (argc != 5) {
    fprintf(stderr, "usage: %s BUNDLE PHOTO.ppm POINT PACKET\n", argv[0]);
    return 2;
  }
  if (narrows_open(argv[1], &bundle) != NARROWS_OK) return failed(argv[1]);
  uint8_t* picture = read_ppm(argv[2], &height, &width);
  if (!picture) return 2;
  if (narrows_encode_picture(bundle, picture, height, width, atoi(argv[3]), packet, sizeof packet,
                             &size) != NARROWS_OK)
    return failed(argv[2]);
  FILE* file = fopen(argv[4], "wb");
  if (!file || fwrite(packet, 1, size, file) != size || fclose(file)) {
    perror(argv[4]);
    return 2;
  }
  free(picture);
  narrows_close(bundle);
  return 0;
}
