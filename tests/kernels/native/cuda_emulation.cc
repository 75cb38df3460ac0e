// The GPU's coder, run on the host, against narrows::Encoder and narrows::Decoder.
// Usage: cuda_emulation SEED CASES; prints what it did, exits with 1 at the first difference.
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "coder/decoder.h"
#include "coder/encoder.h"
#include "cuda/flat_tables.h"
#include "cuda/warp_decoder.cuh"
#include "cuda/warp_encoder.cuh"
#include "warp_emulation.h"

namespace narrows::cuda {
namespace {

using Random = std::mt19937_64;

int below(Random& random, int limit) { return static_cast<int>(random() % limit); }

void require(bool holds, const char* what) {
  if (holds) return;
  std::printf("not so: %s\n", what);
  std::exit(1);
}

// Bytes that end where the next page may not be touched.
class Guarded {
 public:
  explicit Guarded(size_t size) {
    const size_t page = sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page + 1;
    mapped_ = pages * page;
    base_ = static_cast<uint8_t*>(
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + mapped_ - page, page, PROT_NONE);
    data_ = base_ + mapped_ - page - size;
  }
  ~Guarded() { munmap(base_, mapped_); }
  Guarded(const Guarded&) = delete;
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }

 private:
  uint8_t *base_, *data_;
  size_t mapped_;
};

struct Case {
  std::vector<int32_t> offsets, lengths;
  std::vector<uint16_t> cdf;
  std::vector<size_t> starts{0};
  std::vector<uint32_t> starts32{0};
  std::vector<int16_t> symbols;
  std::vector<float> latent;
  std::vector<Quantiser> quantisers;
  std::vector<Dequantiser> dequantisers;
  Rows rows() const { return {starts.data(), starts.size() - 1}; }
  RowView view() const { return {starts32.data(), static_cast<uint32_t>(starts.size() - 1)}; }
};

// A cdf that rises by at least 1: flat, or as steep as it can be.
void add_table(Case& c, Random& random) {
  static constexpr int kLengths[] = {1, 2, 14, 15, 29, 63, 130, 260, 600};
  const int length = kLengths[below(random, 9)], spare = kTotal - (length + 1);
  const int peak = below(random, length + 1), share = below(random, 3);
  c.lengths.push_back(length);
  c.offsets.push_back(below(random, 8) ? -length / 2
                                       : (below(random, 2) ? -32768 : 32768 - length));
  int at = 0;
  for (int entry = 0; entry <= length + 1; ++entry) {
    c.cdf.push_back(static_cast<uint16_t>(at));
    const bool steep = share == 0;
    at += 1 + (steep ? (entry == peak ? spare : 0) : spare / (length + 1));
    if (entry == length) at = kTotal;
  }
}

Case random_case(Random& random) {
  static constexpr int kCounts[] = {0, 1, 5, 31, 64, 65, 200, 700};
  static constexpr int kAstray[] = {0, 0, 0, 1, 40};  // per cent outside the table
  Case c;
  const int channels = 1 + below(random, 4), astray = kAstray[below(random, 5)];
  for (int channel = 0; channel < channels; ++channel) {
    add_table(c, random);
    const int count = kCounts[below(random, 8)];
    c.quantisers.push_back({0.5f + 0.01f * below(random, 300), 0.1f * below(random, 20)});
    c.dequantisers.push_back({1 / c.quantisers.back().gain, c.quantisers.back().median});
    for (int i = 0; i < count; ++i) {
      const int low = c.offsets.back(), length = c.lengths.back();
      const bool stray = below(random, 100) < astray;
      c.symbols.push_back(
          static_cast<int16_t>(stray ? below(random, 65536) - 32768 : low + below(random, length)));
      const float noise = 0.001f * below(random, 1000) - 0.5f;
      const Quantiser q = c.quantisers.back();
      const float exact = (c.symbols.back() + q.median + noise) / q.gain;
      const int odd = below(random, 400);
      c.latent.push_back(odd == 0 && astray ? NAN : odd == 1 && astray ? INFINITY : exact);
    }
    c.starts.push_back(c.symbols.size());
    c.starts32.push_back(static_cast<uint32_t>(c.symbols.size()));
  }
  return c;
}

// Symbols that cost next to nothing: two lanes' words are never filled, and the tail is too long.
Case endless_case() {
  Case c{{0}, {1}, {0, kTotal - 1, kTotal}, {0, 66000}, {0, 66000}, {}, {}, {{1, 0}}, {{1, 0}}};
  c.symbols.assign(66000, 0);
  c.latent.assign(66000, 0.0f);
  return c;
}

// Of a few kilobytes to 40, by Laplace-like symbols: lanes are chosen by a sample.
Case large_case(Random& random) {
  Case c;
  for (int channel = 0; channel < 3; ++channel) {
    add_table(c, random);
    const int low = c.offsets.back(), length = c.lengths.back();
    for (int left = 1500 + below(random, 12000); left > 0; --left) {
      c.symbols.push_back(static_cast<int16_t>(low + below(random, length)));
      c.latent.push_back(c.symbols.back());
    }
    c.quantisers.push_back({1, 0});
    c.dequantisers.push_back({1, 0});
    c.starts.push_back(c.symbols.size());
    c.starts32.push_back(static_cast<uint32_t>(c.symbols.size()));
  }
  return c;
}

template <typename Source>
Encoded encode(Random& random, const FlatTables& flat, const Case& c, Source source, uint32_t lanes,
               uint32_t slot_bytes, uint8_t* payload) {
  Guarded words(2 * (slot_bytes / 2 + kScratchSlack));
  WarpEmulation emulation(random());
  Encoded encoded[32];
  emulation.run([&](EmulatedWarp warp) {
    PacketEncoder<EmulatedWarp, Source> encoder(warp, flat.view(), c.view(), source,
                                                words.as<uint16_t>(), slot_bytes);
    encoded[warp.lane()] = encoder.encode(lanes, payload);
  });
  return encoded[below(random, 32)];
}

void check_encoded(const Encoded& ours, const uint8_t* payload, const Payload& theirs) {
  require(ours.verdict == Verdict::ok, "a payload fits its slot");
  require(static_cast<int>(ours.lanes) == theirs.lanes, "lanes are the encoder's");
  require(static_cast<int>(ours.tail) == theirs.tail, "the tail is the encoder's");
  require(ours.bytes == theirs.size, "the size is the encoder's");
  require(!std::memcmp(payload, theirs.data, theirs.size), "the payload is the encoder's");
}

std::string message_of(Verdict verdict) {
  static const char* kMessages[] = {"",
                                    "payload bytes do not fit",
                                    "a lane starts below the coder's range",
                                    "the payload ends before its symbols do",
                                    "a lane does not end where it must",
                                    "an escaped symbol beyond int16",
                                    "symbols end before the payload does"};
  return kMessages[static_cast<uint32_t>(verdict)];
}

// Whether the payload was good.
template <typename Output, typename Value>
bool check_decoded(Random& random, const FlatTables& flat, const Case& c,
                   const narrows::Coded& coded, Output output, const Value* ours,
                   const Value* theirs, const std::string& error) {
  Guarded payload(coded.size);
  std::memcpy(payload.as<uint8_t>(), coded.data, coded.size);
  WarpEmulation emulation(random());
  Verdict verdicts[32];
  const Coded as_coded{0, static_cast<uint32_t>(coded.size), static_cast<uint32_t>(coded.lanes),
                       static_cast<uint32_t>(coded.tail)};
  emulation.run([&](EmulatedWarp warp) {
    PacketDecoder<EmulatedWarp, Output> decoder(warp, flat.view(), c.view(), output);
    verdicts[warp.lane()] = decoder.decode(payload.as<uint8_t>(), as_coded);
  });
  for (const Verdict verdict : verdicts) {
    const std::string ours_says = message_of(verdict);
    require(error.empty() ? ours_says.empty() : !ours_says.empty(), "both take it or neither");
    require(error.find(ours_says) != std::string::npos, "the verdicts are the same");
  }
  require(!std::memcmp(ours, theirs, sizeof(Value) * c.symbols.size()), "the outputs are the same");
  return error.empty();
}

bool check_payload(Random& random, const Tables& tables, const FlatTables& flat, const Case& c,
                   const narrows::Coded& coded) {
  static Decoder decoder(Isa::portable);
  const size_t total = c.symbols.size();
  std::vector<int16_t> symbols(total + 1, 7), expected(total + 1, 9);
  std::vector<uint32_t> latent(total + 1, 7);
  std::vector<float> expected_latent(total + 1, 9);
  std::string error;
  int16_t* out = expected.data();
  decoder.decode({&coded, 1}, c.rows(), tables, &out, &error);
  check_decoded(random, flat, c, coded, SymbolOutput{symbols.data()}, symbols.data(),
                expected.data(), error);
  float* out_latent = expected_latent.data();
  decoder.decode({&coded, 1}, c.dequantisers.data(), c.rows(), tables, &out_latent, &error);
  return check_decoded(random, flat, c, coded, LatentOutput{latent.data(), c.dequantisers.data()},
                       latent.data(), reinterpret_cast<const uint32_t*>(expected_latent.data()),
                       error);
}

struct Counts {
  int payloads = 0, good = 0, bad = 0;
};

uint64_t sampled_cost(const Case& c, const Tables& tables, uint32_t step) {
  uint64_t cost = 0;
  for (size_t k = 0; k < c.symbols.size(); k += step) {
    const size_t index = c.symbols.size() - 1 - k;
    const Channel& channel = tables.channels()[row_of(c.rows(), index)];
    const int entry = c.symbols[index] - channel.offset;
    cost += channel.cost[entry < 0 || entry > channel.length ? channel.length : entry];
  }
  return cost;
}

void check_chosen_lanes(const Case& c, Random& random) {
  const Tables tables(c.offsets.data(), c.lengths.data(), c.offsets.size(), c.cdf.data(),
                      c.cdf.size());
  const FlatTables flat(tables);
  std::vector<uint32_t> room(c.symbols.size());
  auto* payload = reinterpret_cast<uint8_t*>(room.data());
  const Encoded ours = encode(random, flat, c, SymbolSource{c.symbols.data()}, 0,
                              static_cast<uint32_t>(4 * room.size()), payload);
  Encoder encoder(Isa::portable);
  check_encoded(ours, payload, encoder.encode(c.symbols.data(), c.rows(), tables, 0));

  WarpEmulation(random()).run([&](EmulatedWarp warp) {
    PacketEncoder<EmulatedWarp, SymbolSource> encoder(warp, flat.view(), c.view(),
                                                      SymbolSource{c.symbols.data()}, nullptr, 0);
    require(encoder.sampled_cost(16) == sampled_cost(c, tables, 16),
            "every 16th symbol is counted");
  });
}

void check(const Case& c, uint32_t lanes, Random& random, Counts& counts) {
  static Encoder encoder(Isa::portable);
  const Tables tables(c.offsets.data(), c.lengths.data(), c.offsets.size(), c.cdf.data(),
                      c.cdf.size());
  const FlatTables flat(tables);
  const auto slot = static_cast<uint32_t>(10 * c.symbols.size() + 512);
  std::vector<uint32_t> room(slot / 4 + 1);
  auto* payload = reinterpret_cast<uint8_t*>(room.data());

  const SymbolSource symbols{c.symbols.data()};
  const LatentSource latent{c.latent.data(), c.quantisers.data()};
  Encoded ours = encode(random, flat, c, latent, lanes, slot, payload);
  check_encoded(ours, payload,
                encoder.encode(c.latent.data(), c.quantisers.data(), c.rows(), tables, lanes));
  ours = encode(random, flat, c, symbols, lanes, slot, payload);
  const Payload theirs = encoder.encode(c.symbols.data(), c.rows(), tables, lanes);
  check_encoded(ours, payload, theirs);
  const Encoded tight = encode(random, flat, c, symbols, lanes, ours.bytes, payload);
  require(tight.verdict == Verdict::ok, "a slot of the payload's size is enough");
  if (ours.bytes > 4) {
    const Encoded small = encode(random, flat, c, symbols, lanes, ours.bytes - 4, payload);
    require(small.verdict == Verdict::too_large, "a smaller slot is not");
  }

  std::vector<uint8_t> bytes(theirs.data, theirs.data + theirs.size);
  const auto with = [&](size_t size, int as_lanes, int tail) {
    const narrows::Coded coded{bytes.data(), size, as_lanes, tail};
    (check_payload(random, tables, flat, c, coded) ? counts.good : counts.bad)++;
  };
  require((with(bytes.size(), theirs.lanes, theirs.tail), counts.good == ++counts.payloads),
          "a good payload decodes");
  const int good = counts.good;
  for (int i = 0; i < 3; ++i) with(below(random, bytes.size()), theirs.lanes, theirs.tail);
  for (int i = 0; i < 4; ++i) {
    uint8_t& hit = bytes[below(random, i % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 64))];
    hit ^= 1 << below(random, 8);
    with(bytes.size(), theirs.lanes, theirs.tail);
  }
  with(bytes.size(), 1 << below(random, 8), below(random, 3) ? theirs.tail : below(random, 99));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  with(bytes.size(), theirs.lanes, theirs.tail);
  counts.good = good;
}

}  // namespace
}  // namespace narrows::cuda

int main(int count, char** arguments) {
  if (count != 3) return 2;
  narrows::cuda::Random random(std::strtoull(arguments[1], nullptr, 10));
  narrows::cuda::Counts counts;
  narrows::cuda::check(narrows::cuda::endless_case(), 64, random, counts);
  for (int left = std::atoi(arguments[2]); left > 0; --left)
    narrows::cuda::check(narrows::cuda::random_case(random), 128u >> (1 + random() % 8), random,
                         counts);
  for (int left = 6; left > 0; --left)
    narrows::cuda::check_chosen_lanes(narrows::cuda::large_case(random), random);
  std::printf("%d payloads equal, %d corrupt ones judged alike\n", counts.good, counts.bad);
}
