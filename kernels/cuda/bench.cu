// Copy bandwidth, then encode and decode of a batch of Laplace latents, as rows of a markdown
// table. A share of the copy bandwidth counts the latents' 4 bytes a symbol and nothing else. Then
// square products of residues; a multiplication and an addition are two operations.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

#include "cuda/coder.h"
#include "cuda/field.h"

namespace {

using namespace narrows;

constexpr size_t kPackets = 4096, kChannels = 24, kArea = 55 * 55, kSymbols = kChannels * kArea;
constexpr size_t kDistinct = 16;  // frames drawn; the batch repeats them
constexpr uint32_t kLanes = 32, kSlotBytes = 72 << 10;
constexpr int kRuns = 20;

void check(cudaError_t status) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(status));
  std::exit(1);
}

template <typename T>
T* on_device(size_t count) {
  void* memory;
  check(cudaMalloc(&memory, count * sizeof(T)));
  return static_cast<T*>(memory);
}

template <typename T>
T* copied(const std::vector<T>& values) {
  T* to = on_device<T>(values.size());
  check(cudaMemcpy(to, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  return to;
}

// Median of kRuns, after one that warms up.
double seconds(const std::function<void()>& work) {
  std::vector<float> times;
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  for (int run = 0; run <= kRuns; ++run) {
    check(cudaEventRecord(begin));
    work();
    check(cudaEventRecord(end));
    check(cudaEventSynchronize(end));
    float milliseconds;
    check(cudaEventElapsedTime(&milliseconds, begin, end));
    if (run) times.push_back(milliseconds);
  }
  std::nth_element(times.begin(), times.begin() + kRuns / 2, times.end());
  return times[kRuns / 2] / 1e3;
}

struct Bundle {
  std::vector<int32_t> offsets, lengths;
  std::vector<uint16_t> cdf;
  std::vector<double> scales;
};

// A discretised Laplace for each channel, its ends left to the escape.
Bundle laplace_bundle() {
  Bundle bundle;
  for (size_t c = 0; c < kChannels; ++c) {
    const double scale = 0.3 * std::pow(1.12, c);
    const int reach = static_cast<int>(8 * scale) + 2, length = 2 * reach + 1;
    const auto below = [&](double x) {
      return x < 0 ? 0.5 * std::exp(x / scale) : 1 - 0.5 * std::exp(-x / scale);
    };
    bundle.offsets.push_back(-reach);
    bundle.lengths.push_back(length);
    bundle.scales.push_back(scale);
    for (int entry = 0; entry <= length; ++entry)
      bundle.cdf.push_back(static_cast<uint16_t>(
          entry + (below(entry - reach - 0.5) - below(-reach - 0.5)) * (kTotal - length - 1)));
    bundle.cdf.push_back(kTotal);
  }
  return bundle;
}

std::vector<float> laplace_latents(const Bundle& bundle) {
  std::mt19937 random(7);
  std::exponential_distribution<float> distance(1.0f);
  std::vector<float> latents(kDistinct * kSymbols);
  for (size_t i = 0; i < latents.size(); ++i) {
    const float value = distance(random) * bundle.scales[i / kArea % kChannels];
    latents[i] = random() & 1 ? value : -value;
  }
  return latents;
}

void row(const char* what, double time, double copy_rate) {
  const double symbols = kPackets * kSymbols / time, rate = symbols * sizeof(float);
  std::printf("| %s | %.3f | %.3f | %.0f %% |\n", what, time * 1e3, symbols / 1e12,
              100 * rate / copy_rate);
}

void field_row(size_t side, int bits) {
  std::mt19937_64 random(7);
  std::vector<uint64_t> drawn(side * side);
  for (uint64_t& x : drawn) x = random() >> (65 - bits);
  const auto* left = copied(drawn);
  const auto* right = copied(drawn);
  auto* out = on_device<uint64_t>(side * side);
  auto* wrong = copied(std::vector<uint32_t>{0});
  const double time = seconds(
      [&] { cuda::field_matmul(left, right, side, side, side, bits, out, wrong, nullptr); });
  std::printf("| %zu | %d | %.3f | %.0f |\n", side, bits, time * 1e3,
              2.0 * side * side * side / time / 1e9);
}

}  // namespace

int main() {
  if (!cuda::devices()) {
    std::fprintf(stderr, "no GPU\n");
    return 2;
  }
  const Bundle bundle = laplace_bundle();
  const Tables tables(bundle.offsets.data(), bundle.lengths.data(), kChannels, bundle.cdf.data(),
                      bundle.cdf.size());
  std::vector<size_t> starts;
  for (size_t c = 0; c <= kChannels; ++c) starts.push_back(c * kArea);
  const cuda::Coder coder(tables, {starts.data(), kChannels});

  const std::vector<float> drawn = laplace_latents(bundle);
  float* latents = on_device<float>(kPackets * kSymbols);
  float* decoded = on_device<float>(kPackets * kSymbols);
  for (size_t p = 0; p < kPackets; ++p)
    check(cudaMemcpy(latents + p * kSymbols, drawn.data() + p % kDistinct * kSymbols,
                     kSymbols * sizeof(float), cudaMemcpyHostToDevice));
  const auto* quantisers = copied(std::vector<Quantiser>(kChannels, {1, 0}));
  const auto* dequantisers = copied(std::vector<Dequantiser>(kChannels, {1, 0}));
  auto* scratch = on_device<uint8_t>(cuda::Coder::scratch_bytes(kPackets, kSlotBytes));
  auto* payloads = on_device<uint8_t>(kPackets * kSlotBytes);
  auto* encoded = on_device<cuda::Encoded>(kPackets);
  auto* verdicts = on_device<cuda::Verdict>(kPackets);

  const size_t bytes = kPackets * kSymbols * sizeof(float);
  const double copy = seconds(
      [&] { check(cudaMemcpyAsync(decoded, latents, bytes, cudaMemcpyDeviceToDevice, nullptr)); });
  const double copy_rate = 2.0 * bytes / copy;
  const double encoding = seconds([&] {
    coder.encode(latents, quantisers, kPackets, kLanes, kSlotBytes, scratch, payloads, encoded,
                 nullptr);
  });

  std::vector<cuda::Encoded> results(kPackets);
  check(cudaMemcpy(results.data(), encoded, kPackets * sizeof results[0], cudaMemcpyDeviceToHost));
  std::vector<cuda::Coded> coded;
  double coded_bytes = 0;
  for (size_t p = 0; p < kPackets; ++p) {
    if (results[p].verdict != cuda::Verdict::ok) return std::fprintf(stderr, "not encoded\n"), 1;
    coded.push_back({p * kSlotBytes, results[p].bytes, results[p].lanes, results[p].tail});
    coded_bytes += results[p].bytes;
  }
  const auto* device_coded = copied(coded);
  const double decoding = seconds([&] {
    coder.decode(payloads, kPackets * kSlotBytes, device_coded, kPackets, dequantisers, decoded,
                 verdicts, nullptr);
  });

  std::vector<cuda::Verdict> judged(kPackets);
  check(cudaMemcpy(judged.data(), verdicts, kPackets * sizeof judged[0], cudaMemcpyDeviceToHost));
  std::vector<float> back(kSymbols);
  for (size_t p = 0; p < kPackets; p += 1 + kPackets / 64) {
    check(cudaMemcpy(back.data(), decoded + p * kSymbols, kSymbols * sizeof(float),
                     cudaMemcpyDeviceToHost));
    bool same = judged[p] == cuda::Verdict::ok;
    for (size_t i = 0; i < kSymbols; ++i)
      same &= back[i] == std::nearbyint(drawn[p % kDistinct * kSymbols + i]);
    if (!same) return std::fprintf(stderr, "packet %zu differs\n", p), 1;
  }

  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0));
  std::printf("%s, %zu packets of 24 x 55 x 55, %u lanes, %.2f bits a symbol, copy %.0f GB/s\n\n",
              device.name, kPackets, kLanes, 8 * coded_bytes / (kPackets * kSymbols),
              copy_rate / 1e9);
  std::printf("| kernel | ms | Tsymbols/s | of the copy bandwidth |\n|---|---|---|---|\n");
  row("encode", encoding, copy_rate);
  row("decode", decoding, copy_rate);
  std::printf("\n| side | modulo 2^bits - 1 | ms | Gop/s |\n|---|---|---|---|\n");
  for (const size_t side : {512, 4096})
    for (const int bits : {31, 61}) field_row(side, bits);
}
