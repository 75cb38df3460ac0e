#include "coder/rans.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <numeric>
#include <stdexcept>

namespace narrows {
namespace {

constexpr uint32_t kBucketBits = 4;        // codepoints per entry of Channel::first: 16
constexpr uint32_t kReciprocalBits = 46;   // exact for every state < 2^32 and frequency < 2^14
constexpr uint32_t kCostScale = 1u << 16;  // units of Channel::cost in a bit
constexpr size_t kEscapeWords = 4;         // an escape is at most four steps

// floor(x / f) is x * reciprocal >> 46: the reciprocal is (2^46 + e) / f with 0 < e <= f, and x * e
// < 2^46. The product fits 64 bits because x < f * 2^18 after renormalisation.
inline Push make_push(Interval symbol) {
  return {(uint64_t{1} << kReciprocalBits) / symbol.frequency + 1,
          uint32_t{symbol.frequency} << (32 - kPrecision),
          static_cast<uint16_t>(kTotal - symbol.frequency), symbol.start};
}

// One encoding step: x becomes (x / f) * 2^14 + x % f + start. `words` must have room for one more;
// whether it is kept depends on the data, so the step has no branch to mispredict.
inline uint32_t push(uint32_t state, const Push& symbol, uint16_t*& words) {
  const uint32_t emits = state >= symbol.limit;
  *words = static_cast<uint16_t>(state);
  words += emits;
  state >>= 16 * emits;
  const auto quotient = static_cast<uint32_t>(state * symbol.reciprocal >> kReciprocalBits);
  return state + quotient * symbol.rest + symbol.start;
}

// The inverse of push, before renormalisation.
inline uint32_t pop(uint32_t state, Interval symbol) {
  return symbol.frequency * (state >> kPrecision) + (state & (kTotal - 1)) - symbol.start;
}

inline Interval raw_bits(uint32_t number, uint32_t width) {
  return {static_cast<uint16_t>(1u << (kPrecision - width)),
          static_cast<uint16_t>(number << (kPrecision - width))};
}

// Entry of a symbol in its channel's table; the escape's for one outside it.
inline int32_t entry_of(int16_t symbol, const Channel& channel) {
  const int32_t index = symbol - channel.offset;
  return static_cast<uint32_t>(index) < static_cast<uint32_t>(channel.length) ? index
                                                                              : channel.length;
}

// A symbol outside the table: Elias gamma of its distance (at least 1) from the table's near end.
struct Escape {
  uint32_t distance;
  bool below;
  uint32_t bits() const { return std::bit_width(distance) - 1; }
};

inline Escape escape_of(int16_t symbol, const Channel& channel) {
  const int32_t high = channel.offset + channel.length;
  if (symbol < channel.offset) return {static_cast<uint32_t>(channel.offset - symbol), true};
  return {static_cast<uint32_t>(symbol - high + 1), false};
}

uint32_t push_bits(uint32_t state, uint32_t number, uint32_t width, uint16_t*& words) {
  return width ? push(state, make_push(raw_bits(number, width)), words) : state;
}

uint32_t push_escape(uint32_t state, Escape escape, uint16_t*& words) {
  const uint32_t bits = escape.bits();
  const uint32_t mantissa = escape.distance - (1u << bits);
  if (bits > 8) state = push_bits(state, mantissa & 0xFF, 8, words);
  state = bits > 8 ? push_bits(state, mantissa >> 8, bits - 8, words)
                   : push_bits(state, mantissa, bits, words);
  state = push_bits(state, escape.below, 1, words);
  return push_bits(state, bits, 5, words);
}

size_t count_escapes(const int16_t* row, size_t area, const Channel& channel) {
  size_t found = 0;
  for (size_t i = 0; i < area; ++i) found += entry_of(row[i], channel) == channel.length;
  return found;
}

// States, then the words [begin, end) in reverse: the order the decoder reads them.
Encoded pack(const uint32_t* states, int lanes, const uint16_t* begin, const uint16_t* end,
             size_t tail) {
  Encoded out{std::vector<uint8_t>(4 * lanes + 2 * (end - begin)), lanes, static_cast<int>(tail)};
  uint8_t* to = out.payload.data();
  for (int lane = 0; lane < lanes; ++lane)
    for (int shift = 0; shift < 32; shift += 8) *to++ = static_cast<uint8_t>(states[lane] >> shift);
  while (end > begin) {
    const uint16_t word = *--end;
    *to++ = static_cast<uint8_t>(word);
    *to++ = static_cast<uint8_t>(word >> 8);
  }
  return out;
}

inline int32_t find(const Channel& channel, uint32_t slot) {
  int32_t entry = channel.first[slot >> kBucketBits];
  while (slot >= uint32_t{channel.intervals[entry].start} + channel.intervals[entry].frequency)
    ++entry;
  return entry;
}

// Everything a payload's decoding reads and remembers.
class Decoder {
 public:
  Decoder(const uint8_t* payload, size_t size, size_t area, const Tables& tables, int lanes,
          int16_t* symbols)
      : words_(payload + 4 * lanes),
        left_((size - 4 * lanes) / 2),
        area_(area),
        channels_(tables.channels()),
        lanes_(lanes),
        symbols_(symbols) {
    for (int lane = 0; lane < lanes; ++lane) {
      const uint8_t* p = payload + 4 * lane;
      states_[lane] = p[0] | p[1] << 8 | p[2] << 16 | uint32_t{p[3]} << 24;
    }
  }

  std::string run(size_t tail) {
    const size_t total = channels_.size() * area_;
    const size_t body = lanes_ > 1 ? total - tail : 0;
    if (lanes_ > 1) {
      if (*std::min_element(states_, states_ + lanes_) < kLower)
        return "a lane starts below the coder's range";
      if (!decode_body(body)) return "the payload ends before its symbols do";
      for (int lane = 1; lane < lanes_; ++lane)
        if (states_[lane] < kLower || states_[lane] >= 2 * kLower)
          return "a lane does not end where it must";
    }
    parked_ = lanes_ - 1;
    for (size_t i = body; i < total; ++i) {
      take(0, channels_[i / area_], i);
      refill();
    }
    for (size_t index : escapes_)
      if (!decode_escape(index)) return "an escaped symbol beyond int16";
    if (states_[0] != 1 || left_ || parked_) return "symbols end before the payload does";
    return {};
  }

 private:
  bool decode_body(size_t body) {
    for (size_t begin = 0; begin < body; begin += area_) {
      const Channel& channel = channels_[begin / area_];
      const size_t end = std::min(begin + area_, body);
      for (size_t i = begin; i < end; ++i) {
        const int lane = (i - begin) & (lanes_ - 1);
        take(lane, channel, i);
        if (states_[lane] < kLower) {
          if (!left_) return false;
          states_[lane] = states_[lane] << 16 | next();
        }
      }
    }
    return true;
  }

  void take(int lane, const Channel& channel, size_t index) {
    const uint32_t state = states_[lane];
    const int32_t entry = find(channel, state & (kTotal - 1));
    if (entry == channel.length) escapes_.push_back(index);
    symbols_[index] = static_cast<int16_t>(channel.offset + entry);
    states_[lane] = pop(state, channel.intervals[entry]);
  }

  uint32_t next() {
    const uint32_t word = words_[0] | words_[1] << 8;
    words_ += 2;
    --left_;
    return word;
  }

  // Lane 0 alone: the stream's rest, then the words parked in the other lanes. Where none is left
  // the state has come down to where the encoder began, below L.
  void refill() {
    if (states_[0] >= kLower) return;
    if (left_) {
      states_[0] = states_[0] << 16 | next();
    } else if (parked_) {
      states_[0] = states_[0] << 16 | (states_[parked_] - kLower);
      --parked_;
    }
  }

  uint32_t take_bits(uint32_t width) {
    if (!width) return 0;
    const uint32_t number = (states_[0] & (kTotal - 1)) >> (kPrecision - width);
    states_[0] = pop(states_[0], raw_bits(number, width));
    refill();
    return number;
  }

  bool decode_escape(size_t index) {
    const uint32_t bits = take_bits(5);
    const bool below = take_bits(1);
    if (bits > 16) return false;
    uint32_t mantissa = take_bits(bits > 8 ? bits - 8 : bits);
    if (bits > 8) mantissa = mantissa << 8 | take_bits(8);
    const int32_t distance = static_cast<int32_t>((1u << bits) + mantissa);
    const Channel& channel = channels_[index / area_];
    const int32_t symbol =
        below ? channel.offset - distance : channel.offset + channel.length + distance - 1;
    symbols_[index] = static_cast<int16_t>(symbol);
    return symbol >= INT16_MIN && symbol <= INT16_MAX;
  }

  const uint8_t* words_;
  size_t left_;
  size_t area_;
  const std::vector<Channel>& channels_;
  int lanes_;
  int16_t* symbols_;
  int parked_ = 0;
  uint32_t states_[kMaxLanes];
  std::vector<size_t> escapes_;
};

Channel make_channel(int32_t offset, int32_t length, const uint16_t* cdf) {
  if (offset < INT16_MIN || offset + length - 1 > INT16_MAX)
    throw std::invalid_argument("a table's symbols must lie within int16");
  if (cdf[0] != 0 || cdf[length + 1] != kTotal)
    throw std::invalid_argument("a cdf must run from 0 to 2^14");
  Channel channel{offset, length, {}, {}, std::vector<uint16_t>(kTotal >> kBucketBits), {}};
  for (int32_t entry = 0; entry <= length; ++entry) {
    if (cdf[entry + 1] <= cdf[entry]) throw std::invalid_argument("a cdf must rise by at least 1");
    const Interval interval{static_cast<uint16_t>(cdf[entry + 1] - cdf[entry]), cdf[entry]};
    channel.intervals.push_back(interval);
    channel.pushes.push_back(make_push(interval));
    const double bits = kPrecision - std::log2(static_cast<double>(interval.frequency));
    channel.cost.push_back(static_cast<uint32_t>(std::lround(bits * kCostScale)));
    const uint32_t bucket = (cdf[entry] + (1u << kBucketBits) - 1) >> kBucketBits;
    for (uint32_t b = bucket; b << kBucketBits < cdf[entry + 1]; ++b) channel.first[b] = entry;
  }
  return channel;
}

}  // namespace

Tables::Tables(const int32_t* offsets, const int32_t* lengths, size_t channels, const uint16_t* cdf,
               size_t entries) {
  size_t used = 0;
  for (size_t c = 0; c < channels; ++c) {
    if (lengths[c] < 1) throw std::invalid_argument("a table needs a symbol beside its escape");
    if (lengths[c] >= int32_t{kTotal} || used + lengths[c] + 2 > entries)
      throw std::invalid_argument("the lengths do not fit the cdf");
    channels_.push_back(make_channel(offsets[c], lengths[c], cdf + used));
    used += lengths[c] + 2;
  }
  if (used != entries) throw std::invalid_argument("the lengths do not fit the cdf");
}

Encoded encode(const int16_t* symbols, size_t area, const Tables& tables, int lanes) {
  const std::vector<Channel>& channels = tables.channels();
  const size_t total = channels.size() * area;
  std::vector<size_t> escapes(channels.size());
  for (size_t c = 0; c < channels.size(); ++c)
    escapes[c] = count_escapes(symbols + c * area, area, channels[c]);

  // Room for a word a step, and one written but not kept.
  const size_t escaped = std::accumulate(escapes.begin(), escapes.end(), size_t{0});
  const auto buffer =
      std::make_unique_for_overwrite<uint16_t[]>(total + kEscapeWords * escaped + 1);
  uint16_t* words = buffer.get();
  uint32_t states[kMaxLanes] = {1};

  for (size_t c = channels.size(); c-- > 0;)
    for (size_t i = area; escapes[c] && i-- > 0;)
      if (entry_of(symbols[c * area + i], channels[c]) == channels[c].length)
        states[0] = push_escape(states[0], escape_of(symbols[c * area + i], channels[c]), words);

  // Lane 0 alone, until it has filled the other lanes' initial states; all of it with a single
  // lane.
  size_t rest = total;
  const size_t parked = lanes - 1;
  while (rest && (lanes == 1 || static_cast<size_t>(words - buffer.get()) < parked)) {
    if (lanes > 1 && total - rest == kMaxTail) return encode(symbols, area, tables, 1);
    --rest;
    const Channel& channel = channels[rest / area];
    states[0] = push(states[0], channel.pushes[entry_of(symbols[rest], channel)], words);
  }
  if (lanes == 1 || static_cast<size_t>(words - buffer.get()) < parked)
    return pack(states, 1, buffer.get(), words, 0);

  for (size_t lane = 1; lane <= parked; ++lane) states[lane] = kLower + buffer[lane - 1];
  for (size_t c = area ? (rest + area - 1) / area : 0; c-- > 0;) {
    const Channel& channel = channels[c];
    const int16_t* row = symbols + c * area;
    for (size_t i = std::min(area, rest - c * area); i-- > 0;) {
      uint32_t& state = states[i & parked];  // lanes are a power of two
      state = push(state, channel.pushes[entry_of(row[i], channel)], words);
    }
  }
  return pack(states, lanes, buffer.get() + parked, words, total - rest);
}

std::string decode(const uint8_t* payload, size_t size, size_t area, const Tables& tables,
                   int lanes, int tail, int16_t* symbols) {
  const size_t total = tables.channels().size() * area;
  const bool fits = lanes >= 1 && lanes <= kMaxLanes && (lanes & (lanes - 1)) == 0 && tail >= 0 &&
                    static_cast<size_t>(tail) <= total && !(lanes == 1 && tail) &&
                    size >= 4 * static_cast<size_t>(lanes) && size % 2 == 0;
  if (!fits)
    return std::to_string(size) + " payload bytes do not fit " + std::to_string(lanes) +
           " lanes and a tail of " + std::to_string(tail);
  return Decoder(payload, size, area, tables, lanes, symbols).run(tail);
}

double cost_bits(const int16_t* symbols, size_t area, const Tables& tables) {
  uint64_t cost = 0;
  for (const Channel& channel : tables.channels()) {
    for (size_t i = 0; i < area; ++i) {
      const int32_t entry = entry_of(symbols[i], channel);
      cost += channel.cost[entry];
      if (entry == channel.length)
        cost += uint64_t{6 + escape_of(symbols[i], channel).bits()} * kCostScale;
    }
    symbols += area;
  }
  return static_cast<double>(cost) / kCostScale;
}

}  // namespace narrows
