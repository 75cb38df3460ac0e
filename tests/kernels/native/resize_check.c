/* PPM pictures on stdin, each brought to the size of a network of stride 8: resize_check SHORT_SIDE
 * MAX_ASPECT. Or YUYV frames: resize_check SHORT_SIDE MAX_ASPECT HEIGHT WIDTH. Writes PPM pictures.
 */
#include <stdlib.h>

#include "frames.h"
#include "resize.h"

enum { STRIDE = 8 };

int main(int argc, char** argv) {
  static uint8_t row[3 * MAX_SIDE];
  frames from;
  resizer* scaled = NULL;
  if (argc != 3 && argc != 5) return 2;
  if (!(argc == 5 ? yuyv_open(&from, stdin, "stdin", strtoul(argv[3], NULL, 10),
                              strtoul(argv[4], NULL, 10))
                  : ppm_open(&from, stdin, "stdin")))
    return 2;
  while (from.begin(&from) == FRAME_BEGINS) {
    const view seen =
        view_of(from.height, from.width, strtoul(argv[1], NULL, 10), strtod(argv[2], NULL), STRIDE);
    scaled = resizer_fit(scaled, &seen);
    for (size_t y = 0; y < from.height; ++y) {
      if (!scaled || !from.row(&from, y, row)) return 2;
      resizer_add(scaled, y, row);
    }
    printf("P6 %zu %zu 255\n", seen.filled_width, seen.filled_height);
    fwrite(resizer_picture(scaled), 3 * seen.filled_width, seen.filled_height, stdout);
  }
  resizer_close(scaled);
  frames_close(&from);
  return 0;
}
