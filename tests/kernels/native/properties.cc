// Every instruction set of this machine against the portable one, on random frames, heads and field
// products: payloads, verdicts on damaged ones, latents, residues. Inputs end where their
// allocation ends, so that a sanitiser sees any read beyond. Prints a checksum of all that is
// coded, which is the same on every machine: properties ROUNDS [SEED]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "coder/crc32c.h"
#include "coder/decoder.h"
#include "coder/encoder.h"
#include "field/field.h"
#include "head/head.h"
#include "isa.h"

using namespace narrows;

namespace {

// xorshift64*: the same numbers from every standard library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 + 1) {}
  uint32_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<uint32_t>(state_ * 0x2545F4914F6CDD1D >> 32);
  }
  uint32_t below(uint32_t limit) { return static_cast<uint64_t>(next()) * limit >> 32; }
  int between(int low, int high) { return low + static_cast<int>(below(high - low + 1)); }
  template <typename T, size_t N>
  T of(const T (&choices)[N]) {
    return choices[below(N)];
  }

 private:
  uint64_t state_;
};

uint32_t digest = 0;

void digest_bytes(const void* data, size_t size) {
  digest = digest * 31 + crc32c(static_cast<const uint8_t*>(data), size);
}

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

// An allocation of exactly these numbers, some from its start: aligned to nothing but themselves.
template <typename T>
class Exact {
 public:
  Exact(const T* values, size_t count, size_t start)
      : bytes_(new uint8_t[(count + start) * sizeof(T)]), offset_(start * sizeof(T)) {
    if (count) std::memcpy(bytes_.get() + offset_, values, count * sizeof(T));
  }
  const T* data() const { return reinterpret_cast<const T*>(bytes_.get() + offset_); }

 private:
  std::unique_ptr<uint8_t[]> bytes_;
  size_t offset_;
};

struct Frame {
  std::vector<int32_t> offsets, lengths;
  std::vector<uint16_t> cdf;
  std::vector<size_t> starts{0};
  std::vector<int16_t> symbols;
  std::vector<Quantiser> quantisers;
  std::vector<Dequantiser> dequantisers;
  std::vector<float> latent;
};

void add_channel(Frame& frame, Random& random) {
  const int length = random.of({1, 2, 3, 13, 14, 15, 16, 29, 31, 61, 63, 64, 125, 130, 255, 600});
  const int offset = random.of({-32768, -length / 2, 0, 32768 - length});
  std::vector<uint32_t> frequency(length + 1, 1);
  for (uint32_t left = kTotal - length - 1; left;) {  // peaked or flat
    const uint32_t share = std::min(left, 1 + random.below(random.of({50u, 1000u, 16000u})));
    frequency[random.below(length + 1)] += share;
    left -= share;
  }
  frame.offsets.push_back(offset);
  frame.lengths.push_back(length);
  uint32_t sum = 0;
  frame.cdf.push_back(0);
  for (const uint32_t f : frequency) frame.cdf.push_back(sum += f);
  const size_t count = random.of({0, 1, 3, 15, 16, 33, 64, 65, 200, 777});
  const uint32_t astray = random.of({0u, 20u, 30000u});
  const uint16_t* cdf = &frame.cdf[frame.cdf.size() - length - 2];
  for (size_t i = 0; i < count; ++i) {
    const auto slot = static_cast<uint16_t>(random.below(kTotal));
    int symbol = offset + static_cast<int>(std::upper_bound(cdf, cdf + length + 1, slot) - cdf) - 1;
    if (random.below(65536) < astray) symbol = random.between(-32768, 32767);
    frame.symbols.push_back(static_cast<int16_t>(std::min(symbol, 32767)));
  }
  frame.starts.push_back(frame.symbols.size());
  const float gain = 0.25f * static_cast<float>(random.between(1, 16));
  const float median = 0.125f * static_cast<float>(random.between(-8, 8));
  frame.quantisers.push_back({gain, median});
  frame.dequantisers.push_back({1 / gain, median});
}

Frame random_frame(Random& random) {
  Frame frame;
  for (int channels = random.between(1, 6); channels > 0; --channels) add_channel(frame, random);
  for (size_t r = 0; r + 1 < frame.starts.size(); ++r)
    for (size_t i = frame.starts[r]; i < frame.starts[r + 1]; ++i) {
      const float noise = static_cast<float>(random.between(-4, 4)) / 8;
      const float value = static_cast<float>(frame.symbols[i]) + noise + frame.quantisers[r].median;
      frame.latent.push_back(random.below(300) ? value / frame.quantisers[r].gain : NAN);
    }
  return frame;
}

std::string text(const Payload& p) {
  return std::string(reinterpret_cast<const char*>(p.data), p.size) + "/" +
         std::to_string(p.lanes) + "/" + std::to_string(p.tail);
}

// What an instruction set makes of the payloads: errors, symbols and latents in one string.
std::string decoded(Isa isa, const std::vector<Coded>& coded, const Frame& frame,
                    const Tables& tables) {
  const Rows rows{frame.starts.data(), frame.starts.size() - 1};
  const size_t total = rows.symbols();
  std::vector<int16_t> symbols(coded.size() * total);
  std::vector<float> latents(coded.size() * total);
  std::vector<int16_t*> symbols_of;
  std::vector<float*> latents_of;
  for (size_t i = 0; i < coded.size(); ++i) {
    symbols_of.push_back(symbols.data() + i * total);
    latents_of.push_back(latents.data() + i * total);
  }
  std::vector<std::string> errors(coded.size()), again(coded.size());
  Decoder decoder(isa);
  decoder.decode(coded, rows, tables, symbols_of.data(), errors.data());
  decoder.decode(coded, frame.dequantisers.data(), rows, tables, latents_of.data(), again.data());
  if (errors != again) fail("symbols and latents met different verdicts");
  std::string found;
  for (const std::string& error : errors) found += error + "|";
  found.append(reinterpret_cast<const char*>(symbols.data()), symbols.size() * 2);
  found.append(reinterpret_cast<const char*>(latents.data()), latents.size() * 4);
  return found;
}

void check_coder(Random& random, const std::vector<Isa>& isas) {
  const Frame frame = random_frame(random);
  const Tables tables(frame.offsets.data(), frame.lengths.data(), frame.offsets.size(),
                      frame.cdf.data(), frame.cdf.size());
  const Rows rows{frame.starts.data(), frame.starts.size() - 1};
  const int lanes = random.of({0, 1, 2, 4, 8, 16, 32, 64});
  const Exact<int16_t> symbols(frame.symbols.data(), frame.symbols.size(), random.below(2));
  const Exact<float> latent(frame.latent.data(), frame.latent.size(), random.below(4));

  Encoder reference(Isa::portable);
  const std::string expected = text(reference.encode(symbols.data(), rows, tables, lanes));
  const std::string fused =
      text(reference.encode(latent.data(), frame.quantisers.data(), rows, tables, lanes));
  digest_bytes(expected.data(), expected.size());
  digest_bytes(fused.data(), fused.size());
  const Payload payload = reference.encode(symbols.data(), rows, tables, lanes);

  // Whole, then damaged in one of four ways, then whole again.
  std::vector<uint8_t> bytes(payload.data, payload.data + payload.size);
  std::vector<uint8_t> damaged = bytes;
  switch (random.below(4)) {
    case 0:
      damaged.resize(random.below(static_cast<uint32_t>(bytes.size()) + 1));
      break;
    case 1:
      for (uint8_t& byte : damaged) byte = static_cast<uint8_t>(random.next());
      break;
    default:
      for (int flips = random.between(1, 3); flips > 0; --flips)
        damaged[random.below(static_cast<uint32_t>(damaged.size()))] ^= 1 << random.below(8);
  }
  const Exact<uint8_t> whole(bytes.data(), bytes.size(), random.below(2));
  const Exact<uint8_t> broken(damaged.data(), damaged.size(), random.below(2));
  const int wrong = random.below(20) ? payload.lanes : random.between(-1, 130);
  const std::vector<Coded> coded = {{whole.data(), bytes.size(), payload.lanes, payload.tail},
                                    {broken.data(), damaged.size(), wrong, payload.tail},
                                    {whole.data(), bytes.size(), payload.lanes, payload.tail}};
  const std::string verdict = decoded(Isa::portable, coded, frame, tables);
  digest_bytes(verdict.data(), verdict.size());
  std::vector<std::string> errors(1);
  std::vector<int16_t> back(frame.symbols.size());
  int16_t* const into[] = {back.data()};
  Decoder(Isa::portable).decode({coded.data(), 1}, rows, tables, into, errors.data());
  if (!errors[0].empty() || back != frame.symbols) fail("a payload does not decode: " + errors[0]);

  for (const Isa isa : isas) {
    Encoder encoder(isa);
    if (text(encoder.encode(symbols.data(), rows, tables, lanes)) != expected)
      fail(std::string(name_of(isa)) + " encodes symbols to other bytes");
    if (text(encoder.encode(latent.data(), frame.quantisers.data(), rows, tables, lanes)) != fused)
      fail(std::string(name_of(isa)) + " encodes a latent to other bytes");
    if (decoded(isa, coded, frame, tables) != verdict)
      fail(std::string(name_of(isa)) + " decodes to something else");
  }
}

// floor(x / f) for every frequency, about multiples of it up to the largest state.
void check_divisions() {
  for (uint32_t f = 1; f < kTotal; ++f) {
    const int32_t offset = 0, length = 1;
    const uint16_t cdf[] = {0, static_cast<uint16_t>(f), kTotal};
    const Tables tables(&offset, &length, 1, cdf, 3);
    const Channel& channel = tables.channels()[0];
    const PackedPush packed = channel.packed_pushes[0];
    const uint64_t multiplier = packed.multiplier | 0x80000000u,
                   increment = packed.multiplier >> 31;
    for (uint64_t quotient = 1; quotient <= 1u << 18; quotient += 1 + quotient / 3)
      for (const uint64_t x : {quotient * f - 1, (uint64_t{f} << 18) - 1 - quotient}) {
        const bool right = (x + increment) * multiplier >> 32 >> (packed.interval & 15) == x / f &&
                           x * channel.pushes[0].reciprocal >> 46 == x / f;
        if (!right) fail(std::to_string(x) + " / " + std::to_string(f) + " is not exact");
      }
  }
}

Stage random_stage(Random& random, int inputs, bool integer) {
  Stage stage{};
  stage.inputs = inputs;
  stage.outputs = random.of({1, 5, 16, 24, 48, 64, 70});
  stage.kernel = random.between(1, 5);
  stage.stride = random.between(1, 3);
  stage.pad = random.between(0, stage.kernel - 1);
  stage.before = random.of({Function::none, Function::relu, Function::absolute});
  stage.after = random.of({Function::none, Function::relu});
  stage.source = -1;
  stage.steps_per_unit = 20;
  stage.zero = random.of({0, 0, 128, 255});
  const size_t weights = static_cast<size_t>(stage.outputs) * inputs * stage.kernel * stage.kernel;
  const float spread = 1 / std::sqrt(static_cast<float>(weights) / stage.outputs);
  for (size_t i = 0; i < weights; ++i) {
    if (integer)
      stage.quantised.push_back(static_cast<int8_t>(random.between(-127, 127)));
    else
      stage.weight.push_back(spread * static_cast<float>(random.between(-100, 100)) / 50);
  }
  for (int o = 0; o < stage.outputs; ++o) {
    stage.bias.push_back(static_cast<float>(random.between(-8, 8)) / 8);
    stage.scale.push_back(spread / 3000);
  }
  return stage;
}

Plan random_plan(Random& random, bool integer) {
  Plan plan{{120, 115, 100}, {60, 58, 57}, {120, 115, 100}, {}, integer};
  int inputs = 3;
  for (int stages = random.between(1, 4); stages > 0; --stages) {
    plan.stages.push_back(random_stage(random, inputs, integer));
    inputs = plan.stages.back().outputs;
    if (random.below(2)) {  // a residual, or GDN1
      const int source = static_cast<int>(plan.stages.size()) - 1;
      Stage stage = random_stage(random, inputs, integer);
      while (stage.outputs != inputs) stage = random_stage(random, inputs, integer);
      stage.stride = 1;
      const bool divides = random.below(2);
      if (divides || stage.kernel % 2 == 0) {
        stage.kernel = 1;
        stage.pad = 0;
        stage.weight.resize(stage.outputs * inputs);
        stage.quantised.resize(stage.outputs * inputs);
        if (integer)
          stage.weight.clear();
        else
          stage.quantised.clear();
      }
      stage.pad = stage.kernel / 2;
      stage.combination = divides ? Combination::divide : Combination::add;
      stage.source = source;
      for (float& bias : stage.bias) bias += divides ? 300.0f : 0.0f;  // away from zero
      plan.stages.push_back(stage);
    }
  }
  return plan;
}

void check_head(Random& random, const std::vector<Isa>& isas) {
  const bool integer = random.below(2);
  const Plan plan = random_plan(random, integer);
  const size_t height = random.between(1, 40), width = random.between(1, 40);
  std::vector<uint8_t> pixels(height * width * 3);
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random.next());
  const Exact<uint8_t> picture(pixels.data(), pixels.size(), random.below(2));
  const Head reference(plan, Isa::portable);
  const Head::Shape shape = reference.latent_shape(height, width);
  const size_t size = shape.channels * shape.height * shape.width;
  if (!size) return;
  std::vector<float> expected(size), found(size);
  reference.run(picture.data(), height, width, expected.data());
  if (integer) digest_bytes(expected.data(), size * 4);
  float largest = 1;
  for (const float value : expected) largest = std::max(largest, std::fabs(value));
  for (const Isa isa : isas) {
    const Head head(plan, isa);
    for (int again = 0; again < 2; ++again) {
      head.run(picture.data(), height, width, found.data());
      for (size_t i = 0; i < size; ++i)
        if (integer ? std::memcmp(&found[i], &expected[i], 4) != 0
                    : !(std::fabs(found[i] - expected[i]) <= 1e-5f * largest))
          fail(std::string(name_of(isa)) + " computes another latent: " + std::to_string(found[i]) +
               ", expected " + std::to_string(expected[i]));
    }
  }
}

// Residues of all sizes, many of them at the bounds of digits, some of them none at all.
void check_field(Random& random, const std::vector<Isa>& isas) {
  const int bits = random.of({31, 61});
  const uint64_t p = (uint64_t{1} << bits) - 1;
  const uint64_t bounds[] = {0,
                             p - 1,
                             p / 2,
                             p / 2 + 1,
                             (uint64_t{1} << 30) - 1,
                             1u << 30,
                             (p / 2 + (1u << 30)) % p,
                             p - (1u << 30)};
  const bool only_bounds = random.below(2), bad = random.below(10) == 0;
  const auto factor = [&](size_t count) {
    std::vector<uint64_t> entries(count);
    for (uint64_t& entry : entries)
      entry = only_bounds || random.below(4) == 0
                  ? random.of(bounds)
                  : (uint64_t{random.next()} << 32 | random.next()) % p;
    return entries;
  };
  const size_t rows = random.between(1, 20), depth = random.between(1, 300),
               columns = random.between(1, 90);
  std::vector<uint64_t> left = factor(rows * depth), right = factor(depth * columns);
  if (bad) right[random.below(static_cast<uint32_t>(right.size()))] = p + random.below(3);
  const Exact<uint64_t> a(left.data(), left.size(), 0), b(right.data(), right.size(), 0);
  std::vector<uint64_t> expected(rows * columns);
  for (size_t i = 0; i < rows && !bad; ++i)
    for (size_t j = 0; j < columns; ++j)
      for (size_t l = 0; l < depth; ++l) {
        __extension__ typedef unsigned __int128 Wide;
        const Wide sum = Wide{left[i * depth + l]} * right[l * columns + j];
        expected[i * columns + j] = static_cast<uint64_t>((sum + expected[i * columns + j]) % p);
      }
  digest_bytes(expected.data(), expected.size() * 8);
  const int threads = random.between(1, 3);
  for (const Isa isa : isas) {
    std::vector<uint64_t> found(rows * columns);
    const bool good =
        field_matmul(a.data(), b.data(), rows, depth, columns, bits, threads, isa, found.data());
    if (good == bad) fail(std::string(name_of(isa)) + " judges residues wrongly");
    if (good && found != expected) fail(std::string(name_of(isa)) + " computes another product");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 100;
  Random random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  std::vector<Isa> isas;
  std::string names;
  for (const Isa isa : kAllIsas)
    if (has(isa)) {
      isas.push_back(isa);
      names += std::string(" ") + name_of(isa);
    }
  check_divisions();
  for (int round = 0; round < rounds; ++round) {
    check_coder(random, isas);
    check_head(random, isas);
    check_field(random, isas);
  }
  std::printf("%d rounds,%s, digest %08x\n", rounds, names.c_str(), digest);
  return 0;
}
