// The GPU's field product, its blocks run on the host thread after thread, against
// narrows::field_matmul. Usage: cuda_field SEED CASES; exits with 1 at the first difference.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "cuda/field.cuh"
#include "field/field.h"
#include "isa.h"

namespace narrows::cuda {
namespace {

using Random = std::mt19937_64;
constexpr uint32_t kBlock = kThreads * kThreads;

// Mostly entries whose digits are as large or as small as they come.
template <int Bits>
std::vector<uint64_t> entries(size_t count, Random& random) {
  const uint64_t p = kPrime<Bits>, digit = kPrime<31>;
  const uint64_t extremes[] = {0, 1, p - 1, p / 2, p / 2 + 1, (p - digit) % p, digit % p};
  std::vector<uint64_t> found(count);
  for (uint64_t& x : found) x = random() % 4 ? extremes[random() % 7] : random() % p;
  return found;
}

// As the kernel does, a barrier being the end of a loop over the threads. Whether all were
// residues.
template <int Bits>
bool product(const Factors& factors, std::vector<uint64_t>& out) {
  struct Thread {
    Sum<Bits> sums[kEach][kEach];
    uint64_t seen = 0;
  };
  const auto loaded = std::make_unique<Loaded>();
  uint64_t seen = 0;
  for (size_t row = 0; row < factors.rows; row += kSide)
    for (size_t column = 0; column < factors.columns; column += kSide) {
      std::vector<Thread> threads(kBlock);
      for (size_t l = 0; l < factors.depth; l += kDeep) {
        for (uint32_t t = 0; t < kBlock; ++t)
          load<Bits>(*loaded, factors, row, column, l, t, threads[t].seen);
        for (uint32_t t = 0; t < kBlock; ++t) multiply<Bits>(*loaded, t, threads[t].sums);
      }
      for (uint32_t t = 0; t < kBlock; ++t) {
        store<Bits>(threads[t].sums, factors, row, column, t, out.data());
        seen |= threads[t].seen;
      }
    }
  return seen >> Bits == 0;
}

template <int Bits>
void check(size_t rows, size_t depth, size_t columns, Random& random) {
  std::vector<uint64_t> left = entries<Bits>(rows * depth, random);
  const std::vector<uint64_t> right = entries<Bits>(depth * columns, random);
  std::vector<uint64_t> found(rows * columns, ~uint64_t{0}), wanted(rows * columns);
  field_matmul(left.data(), right.data(), rows, depth, columns, Bits, 1, isa(), wanted.data());
  const Factors factors{left.data(), right.data(), rows, depth, columns};
  if (!product<Bits>(factors, found) || found != wanted) {
    std::printf("%zu x %zu x %zu modulo 2^%d - 1 differs\n", rows, depth, columns, Bits);
    std::exit(1);
  }
  left[random() % left.size()] = random() % 2 ? kPrime<Bits> : ~uint64_t{0};
  if (product<Bits>(factors, found)) {
    std::printf("an entry that is no residue was not seen\n");
    std::exit(1);
  }
}

}  // namespace
}  // namespace narrows::cuda

int main(int, char** arguments) {
  narrows::cuda::Random random(std::atoi(arguments[1]));
  const int cases = std::atoi(arguments[2]);
  for (int i = 0; i < cases; ++i) {
    const size_t rows = 1 + random() % 150, depth = 1 + random() % 200,
                 columns = 1 + random() % 150;
    narrows::cuda::check<31>(rows, depth, columns, random);
    narrows::cuda::check<61>(rows, depth, columns, random);
  }
  std::printf("%d products equal\n", 2 * cases);
}
