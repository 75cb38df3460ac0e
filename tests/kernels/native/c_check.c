/* The C interface under damage: c_check BUNDLE PACKET. Exits 1 with what went wrong. */
#include <narrows/narrows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int right, const char* what) {
  if (right) return;
  fprintf(stderr, "%s (last error: %s)\n", what, narrows_last_error());
  exit(1);
}

int main(int argc, char** argv) {
  static uint8_t packet[1 << 16], again[1 << 16];
  narrows_bundle* bundle = NULL;
  narrows_shape shape;
  int point;
  check(argc == 3, "usage: c_check BUNDLE PACKET");
  check(narrows_open("/nowhere", &bundle) == NARROWS_BAD_BUNDLE && !bundle, "opened nothing");
  check(narrows_open(argv[1], &bundle) == NARROWS_OK, "the bundle does not open");
  FILE* file = fopen(argv[2], "rb");
  check(file != NULL, "no packet");
  const size_t size = fread(packet, 1, sizeof packet, file);
  fclose(file);

  static float latent[1 << 18], other[1 << 18];
  check(narrows_decode(bundle, packet, size, latent, 1 << 18, &shape, &point) == NARROWS_OK,
        "the packet does not decode");
  const size_t floats = shape.channels * shape.height * shape.width;
  check(
      narrows_decode(bundle, packet, size, other, floats - 1, &shape, &point) == NARROWS_TOO_SMALL,
      "a buffer too small was filled");
  size_t used = 0;
  check(narrows_encode_latent(bundle, latent, shape.height, shape.width, point, again, sizeof again,
                              &used) == NARROWS_OK,
        "the latent does not encode");
  check(used == size && !memcmp(again, packet, size), "a decoded packet encodes to another");
  check(narrows_encode_latent(bundle, latent, shape.height, shape.width, point, again, 10, &used) ==
                NARROWS_TOO_SMALL &&
            used == size,
        "a packet was written beyond its buffer");
  check(narrows_encode_latent(bundle, latent, 4096, 1, point, again, sizeof again, &used) ==
            NARROWS_BAD_ARGUMENT,
        "an impossible latent was encoded");
  check(narrows_latent_shape(bundle, 0, 9, &shape) == NARROWS_BAD_ARGUMENT, "a picture of nothing");

  for (size_t cut = 0; cut < size; ++cut) {
    uint8_t* exact = malloc(cut ? cut : 1);
    memcpy(exact, packet, cut);
    check(narrows_decode(bundle, exact, cut, other, 1 << 18, &shape, &point) == NARROWS_BAD_PACKET,
          "a packet cut off was decoded");
    free(exact);
  }
  for (size_t bit = 0; bit < 8 * size; bit += 3) {
    memcpy(again, packet, size);
    again[bit / 8] ^= (uint8_t)(1 << bit % 8);
    check(narrows_decode(bundle, again, size, other, 1 << 18, &shape, &point) == NARROWS_BAD_PACKET,
          "a flipped bit was not noticed");
  }
  narrows_close(bundle);
  return 0;
}
