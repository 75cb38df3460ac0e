#include "coder/decoder.h"

#include <algorithm>

#include "coder/rows_scalar.h"
#include "coder/step.h"

namespace narrows {
namespace {

Cursor cursor_at(const Coded& coded) {
  Cursor cursor{coded.data + 4 * coded.lanes, coded.data + coded.size, {}, false};
  for (int lane = 0; lane < coded.lanes; ++lane) {
    const uint8_t* p = coded.data + 4 * lane;
    cursor.states[lane] = p[0] | p[1] << 8 | p[2] << 16 | uint32_t{p[3]} << 24;
  }
  return cursor;
}

// Why no payload is like this, or nothing.
std::string fault_of(const Coded& coded, size_t total) {
  const bool fits = coded.lanes >= 1 && coded.lanes <= kMaxLanes &&
                    (coded.lanes & (coded.lanes - 1)) == 0 && coded.tail >= 0 &&
                    static_cast<size_t>(coded.tail) <= total && !(coded.lanes == 1 && coded.tail) &&
                    coded.size >= 4 * static_cast<size_t>(coded.lanes) && coded.size % 2 == 0;
  if (!fits)
    return std::to_string(coded.size) + " payload bytes do not fit " + std::to_string(coded.lanes) +
           " lanes and a tail of " + std::to_string(coded.tail);
  const Cursor cursor = cursor_at(coded);
  if (coded.lanes > 1 && *std::min_element(cursor.states, cursor.states + coded.lanes) < kLower)
    return "a lane starts below the coder's range";
  return {};
}

// Lane 0 alone: the stream's rest, then the words parked in the other lanes. Where none is left the
// state has come down to where the encoder began, below L.
class LaneZero {
 public:
  LaneZero(const Cursor& cursor, int lanes)
      : cursor_(cursor), state_(cursor.states[0]), parked_(lanes - 1) {}

  uint32_t take(const Channel& channel, const ChannelDecoding& decoding) {
    const uint32_t entry = find_entry(state_ & (kTotal - 1), channel, decoding);
    state_ = pop(state_, channel.intervals[entry]);
    refill();
    return entry;
  }

  uint32_t take_bits(uint32_t width) {
    if (!width) return 0;
    const uint32_t number = (state_ & (kTotal - 1)) >> (kPrecision - width);
    state_ = pop(state_, raw_bits(number, width));
    refill();
    return number;
  }

  bool at_end() const { return state_ == 1 && cursor_.next == cursor_.end && !parked_; }

 private:
  void refill() {
    if (state_ >= kLower) return;
    if (cursor_.next != cursor_.end) {
      state_ = state_ << 16 | cursor_.next[0] | cursor_.next[1] << 8;
      cursor_.next += 2;
    } else if (parked_) {
      state_ = state_ << 16 | (cursor_.states[parked_] - kLower);
      --parked_;
    }
  }

  Cursor cursor_;
  uint32_t state_;
  int parked_;
};

// Whether it lies within int16.
bool take_escape(LaneZero& lane, const Channel& channel, int16_t& symbol) {
  const uint32_t bits = lane.take_bits(5);
  const bool below = lane.take_bits(1);
  if (bits > 16) return false;
  uint32_t mantissa = lane.take_bits(bits > 8 ? bits - 8 : bits);
  if (bits > 8) mantissa = mantissa << 8 | lane.take_bits(8);
  const int32_t distance = static_cast<int32_t>((1u << bits) + mantissa);
  const int32_t value =
      below ? channel.offset - distance : channel.offset + channel.length + distance - 1;
  symbol = static_cast<int16_t>(value);
  return value >= INT16_MIN && value <= INT16_MAX;
}

// Where decoded rows go. `begin` is the first symbol of a row that the entries are for.
struct SymbolOutput {
  int16_t* const* frames;
  const RowKernels& kernels;

  void fill(size_t frame, size_t, size_t first, const uint16_t* entries, size_t count,
            const Channel& channel, std::vector<size_t>& escapes) const {
    kernels.symbols_of_entries(entries, count, channel, frames[frame] + first, escapes, first);
  }
  void set(size_t frame, size_t, size_t index, int16_t symbol) const {
    frames[frame][index] = symbol;
  }
  void clear(size_t frame, size_t total) const { std::fill_n(frames[frame], total, int16_t{0}); }
};

struct LatentOutput {
  float* const* frames;
  const Dequantiser* dequantisers;
  const RowKernels& kernels;

  void fill(size_t frame, size_t row, size_t first, const uint16_t* entries, size_t count,
            const Channel& channel, std::vector<size_t>& escapes) const {
    kernels.latent_of_entries(entries, count, dequantisers[row], channel, frames[frame] + first,
                              escapes, first);
  }
  void set(size_t frame, size_t row, size_t index, int16_t symbol) const {
    frames[frame][index] = dequantised(symbol, dequantisers[row]);
  }
  void clear(size_t frame, size_t total) const { std::fill_n(frames[frame], total, 0.0f); }
};

// What happens to one packet, from its first row to its last escape.
template <typename Output>
struct Packet {
  Rows rows;
  const Tables& tables;
  const Output& output;
  size_t frame;
  int lanes;
  size_t body;  // symbols that all lanes share; lane 0 has the rest alone
  Cursor cursor;
  std::vector<uint16_t>& entries;
  std::vector<size_t>& escapes;
  std::string& error;

  // How many of a row's symbols belong to the body, nothing once there is an error.
  size_t body_of(size_t row) const {
    const size_t start = rows.starts[row], end = std::min(rows.starts[row + 1], body);
    return error.empty() && start < end ? end - start : 0;
  }

  void fill(size_t row, size_t first, size_t count) {
    output.fill(frame, row, first, entries.data(), count, tables.channels()[row], escapes);
  }

  void finish_row(size_t row, size_t count) {
    if (cursor.ran_out) {
      error = "the payload ends before its symbols do";
    } else if (count) {
      fill(row, rows.starts[row], count);
    }
  }

  void finish() {
    if (error.empty()) error = finished();
    if (!error.empty()) output.clear(frame, rows.symbols());
  }

  std::string finished() {
    for (int lane = 1; lane < lanes; ++lane)
      if (cursor.states[lane] < kLower || cursor.states[lane] >= 2 * kLower)
        return "a lane does not end where it must";
    LaneZero lane(cursor, lanes);
    for (size_t r = row_of(rows, body); r < rows.count; ++r) {
      const size_t first = std::max(rows.starts[r], body), count = rows.starts[r + 1] - first;
      for (size_t i = 0; i < count; ++i)
        entries[i] = lane.take(tables.channels()[r], tables.decoding()[r]);
      fill(r, first, count);
    }
    for (const size_t index : escapes) {
      const size_t row = row_of(rows, index);
      int16_t symbol;
      if (!take_escape(lane, tables.channels()[row], symbol))
        return "an escaped symbol beyond int16";
      output.set(frame, row, index, symbol);
    }
    return lane.at_end() ? "" : "symbols end before the payload does";
  }
};

}  // namespace

void Decoder::decode(std::span<const Coded> coded, Rows rows, const Tables& tables,
                     int16_t* const* out, std::string* errors) {
  decode_all(coded, rows, tables, SymbolOutput{out, kernels_}, errors);
}

void Decoder::decode(std::span<const Coded> coded, const Dequantiser* dequantisers, Rows rows,
                     const Tables& tables, float* const* out, std::string* errors) {
  decode_all(coded, rows, tables, LatentOutput{out, dequantisers, kernels_}, errors);
}

template <typename Output>
void Decoder::decode_all(std::span<const Coded> coded, Rows rows, const Tables& tables,
                         const Output& output, std::string* errors) {
  for (size_t i = 0; i < coded.size();) {
    errors[i] = fault_of(coded[i], rows.symbols());
    if (!errors[i].empty()) {
      output.clear(i++, rows.symbols());
      continue;
    }
    const bool pair = i + 1 < coded.size() && coded[i + 1].lanes == coded[i].lanes &&
                      fault_of(coded[i + 1], rows.symbols()).empty();
    if (pair) errors[i + 1].clear();
    decode_pair(coded.subspan(i, pair ? 2 : 1), rows, tables, output, i, errors);
    i += pair ? 2 : 1;
  }
}

template <typename Output>
void Decoder::decode_pair(std::span<const Coded> coded, Rows rows, const Tables& tables,
                          const Output& output, size_t first, std::string* errors) {
  std::vector<Packet<Output>> packets;
  for (size_t p = 0; p < coded.size(); ++p) {
    const int lanes = coded[p].lanes;
    escapes_[p].clear();
    packets.push_back({rows, tables, output, first + p, lanes,
                       lanes > 1 ? rows.symbols() - coded[p].tail : 0, cursor_at(coded[p]),
                       entries_[p], escapes_[p], errors[first + p]});
  }
  for (size_t r = 0; r < rows.count; ++r) {
    const size_t longest = rows.starts[r + 1] - rows.starts[r] + kWordSlack;
    for (std::vector<uint16_t>& entries : entries_)
      if (entries.size() < longest) entries.resize(longest);
    decode_row(packets, r);
  }
  for (Packet<Output>& packet : packets) packet.finish();
}

// Side by side where both have the same count of the row left to their lanes.
template <typename Packets>
void Decoder::decode_row(Packets& packets, size_t row) {
  const Tables& tables = packets[0].tables;
  const auto decode = [&](Cursor* a, Cursor* b, size_t count, uint16_t* entries) {
    Cursor* const cursors[2] = {a, b};
    uint16_t* const into[2] = {entries, entries_[1].data()};
    if (count)
      kernels_.decode(cursors, count, tables.channels()[row], tables.decoding()[row],
                      packets[0].lanes, into);
  };
  size_t counts[2] = {packets[0].body_of(row), 0};
  if (packets.size() == 2) counts[1] = packets[1].body_of(row);
  if (packets.size() == 2 && counts[0] == counts[1]) {
    decode(&packets[0].cursor, &packets[1].cursor, counts[0], entries_[0].data());
  } else {
    for (size_t p = 0; p < packets.size(); ++p)
      decode(&packets[p].cursor, nullptr, counts[p], entries_[p].data());
  }
  for (size_t p = 0; p < packets.size(); ++p) packets[p].finish_row(row, counts[p]);
}

}  // namespace narrows
