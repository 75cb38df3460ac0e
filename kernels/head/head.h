// Runs a head: a picture to its latent, a row of every stage at a time.
//
// A stage keeps only the rows that its convolution, or a later combination, still needs, so that a
// whole head works in the second-level cache: layer by layer, Entropic Student's first convolution
// alone would write 4.8 MB and read them back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "head/plan.h"
#include "head/tiles.h"

namespace narrows {

class Head {
 public:
  // Packs the weights, and keeps no others. Throws std::invalid_argument for a plan that does not
  // fit together.
  Head(Plan plan, Isa isa);
  ~Head();

  // The latent of a picture: channels, height, width; zero height or width where it is too small.
  struct Shape {
    size_t channels, height, width;
  };
  Shape latent_shape(size_t height, size_t width) const;

  // `picture`: RGB, height x width x 3. Fills `latent`, channels x height x width. From any thread;
  // allocates only for the first picture of a size that a thread more than before runs at once.
  void run(const uint8_t* picture, size_t height, size_t width, float* latent) const;

 private:
  struct Packed;
  class Rows;

  const HeadKernels kernels_;
  Plan plan_;  // without its weights
  std::vector<Packed> packed_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Rows>> idle_;
};

}  // namespace narrows
