// The coder in Python: one encoder and one decoder for every thread and instruction set.
#include "coder/bind.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "coder/crc32c.h"
#include "coder/decoder.h"
#include "coder/encoder.h"

namespace narrows {
namespace {

namespace nb = nanobind;

template <typename T, int N>
using Array = nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
template <typename T, int N>
using Output = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
using Counts = Array<uint64_t, 1>;

template <typename Coder>
Coder& of_this_thread(Isa isa) {
  thread_local std::map<Isa, Coder> coders;
  return coders.try_emplace(isa, isa).first->second;
}

// The starts of rows of these counts; valid until the thread's next call.
Rows rows_of(Counts counts) {
  thread_local std::vector<size_t> starts;
  starts.assign(1, 0);
  for (size_t r = 0; r < counts.shape(0); ++r) starts.push_back(starts.back() + counts.data()[r]);
  return {starts.data(), counts.shape(0)};
}

Rows equal_rows(size_t count, size_t area) {
  thread_local std::vector<size_t> starts;
  starts.resize(count + 1);
  for (size_t r = 0; r <= count; ++r) starts[r] = r * area;
  return {starts.data(), count};
}

// A frame's quantisers or dequantisers; valid until the thread's next call.
template <typename T>
const T* paired(const Array<float, 1>& gains, const Array<float, 1>& medians) {
  thread_local std::vector<T> pairs;
  pairs.clear();
  for (size_t c = 0; c < gains.shape(0); ++c) pairs.push_back({gains.data()[c], medians.data()[c]});
  return pairs.data();
}

// Calls `work(first, count)` for runs of at most `grain` of `frames`, from as many threads as there
// are.
template <typename Work>
void in_parallel(size_t frames, size_t grain, int threads, const Work& work) {
  std::atomic<size_t> next{0};
  auto take = [&] {
    for (size_t i; (i = next.fetch_add(grain)) < frames;) work(i, std::min(grain, frames - i));
  };
  const int wanted = std::min<int>(threads, static_cast<int>((frames + grain - 1) / grain));
  std::vector<std::jthread> pool;
  for (int i = 1; i < wanted; ++i) pool.emplace_back(take);
  take();
}

nb::tuple packed(const Payload& payload) {
  return nb::make_tuple(nb::bytes(reinterpret_cast<const char*>(payload.data), payload.size),
                        payload.lanes, payload.tail);
}

nb::tuple encode_rows(Array<int16_t, 1> symbols, Counts counts, const Tables& tables, int lanes,
                      const std::string& isa) {
  Encoder& encoder = of_this_thread<Encoder>(isa_of(isa));
  Payload payload;
  {
    nb::gil_scoped_release unlocked;
    payload = encoder.encode(symbols.data(), rows_of(counts), tables, lanes);
  }
  return packed(payload);
}

nb::tuple encode_latent(Array<float, 3> latent, Array<float, 1> gain, Array<float, 1> median,
                        const Tables& tables, int lanes, const std::string& isa) {
  Encoder& encoder = of_this_thread<Encoder>(isa_of(isa));
  Payload payload;
  {
    nb::gil_scoped_release unlocked;
    const Rows rows = equal_rows(latent.shape(0), latent.shape(1) * latent.shape(2));
    payload = encoder.encode(latent.data(), paired<Quantiser>(gain, median), rows, tables, lanes);
  }
  return packed(payload);
}

nb::list encode_latents(Array<float, 4> latents, Array<float, 1> gain, Array<float, 1> median,
                        const Tables& tables, int lanes, int threads, const std::string& isa) {
  struct Kept {
    std::vector<uint8_t> bytes;
    int lanes, tail;
  };
  std::vector<Kept> kept(latents.shape(0));
  const Isa chosen = isa_of(isa);
  {
    nb::gil_scoped_release unlocked;
    const size_t channels = latents.shape(1), area = latents.shape(2) * latents.shape(3);
    const Rows rows = equal_rows(channels, area);
    const Quantiser* quantisers = paired<Quantiser>(gain, median);
    in_parallel(kept.size(), 1, threads, [&](size_t i, size_t) {
      const float* latent = latents.data() + i * channels * area;
      const Payload payload =
          of_this_thread<Encoder>(chosen).encode(latent, quantisers, rows, tables, lanes);
      kept[i] = {{payload.data, payload.data + payload.size}, payload.lanes, payload.tail};
    });
  }
  nb::list packets;
  for (const Kept& k : kept)
    packets.append(packed({k.bytes.data(), k.bytes.size(), k.lanes, k.tail}));
  return packets;
}

// The caller's list keeps the payloads alive while threads read them.
std::vector<Coded> coded_of(nb::list frames) {
  std::vector<Coded> coded;
  for (nb::handle frame : frames) {
    const auto payload = nb::cast<nb::bytes>(frame[0]);
    coded.push_back({static_cast<const uint8_t*>(payload.data()), payload.size(),
                     nb::cast<int>(frame[1]), nb::cast<int>(frame[2])});
  }
  return coded;
}

nb::list messages(const std::vector<std::string>& errors) {
  nb::list found;
  for (const std::string& error : errors)
    found.append(error.empty() ? nb::object(nb::none()) : nb::object(nb::str(error.c_str())));
  return found;
}

template <typename T>
std::vector<T*> frames_of(T* data, size_t frames, size_t size) {
  std::vector<T*> found;
  for (size_t i = 0; i < frames; ++i) found.push_back(data + i * size);
  return found;
}

nb::list decode_rows(nb::list frames, Counts counts, const Tables& tables, Output<int16_t, 2> out,
                     int threads, const std::string& isa) {
  const std::vector<Coded> coded = coded_of(frames);
  std::vector<std::string> errors(coded.size());
  const Isa chosen = isa_of(isa);
  {
    nb::gil_scoped_release unlocked;
    const Rows rows = rows_of(counts);
    const auto into = frames_of(out.data(), out.shape(0), out.shape(1));
    in_parallel(coded.size(), 2, threads, [&](size_t i, size_t count) {
      of_this_thread<Decoder>(chosen).decode({&coded[i], count}, rows, tables, &into[i],
                                             &errors[i]);
    });
  }
  return messages(errors);
}

nb::list decode_latents(nb::list frames, Array<float, 1> inverse_gain, Array<float, 1> median,
                        const Tables& tables, Output<float, 4> out, int threads,
                        const std::string& isa) {
  const std::vector<Coded> coded = coded_of(frames);
  std::vector<std::string> errors(coded.size());
  const Isa chosen = isa_of(isa);
  {
    nb::gil_scoped_release unlocked;
    const size_t channels = out.shape(1), area = out.shape(2) * out.shape(3);
    const Rows rows = equal_rows(channels, area);
    const Dequantiser* dequantisers = paired<Dequantiser>(inverse_gain, median);
    const auto into = frames_of(out.data(), out.shape(0), channels * area);
    in_parallel(coded.size(), 2, threads, [&](size_t i, size_t count) {
      of_this_thread<Decoder>(chosen).decode({&coded[i], count}, dequantisers, rows, tables,
                                             &into[i], &errors[i]);
    });
  }
  return messages(errors);
}

double cost_bits(Array<int16_t, 1> symbols, Counts counts, const Tables& tables) {
  Encoder& encoder = of_this_thread<Encoder>(isa());
  nb::gil_scoped_release unlocked;
  return encoder.cost_bits(symbols.data(), rows_of(counts), tables);
}

uint32_t checksum(nb::bytes data) {
  const auto* bytes = static_cast<const uint8_t*>(data.data());
  const size_t size = data.size();
  nb::gil_scoped_release unlocked;
  return crc32c(bytes, size);
}

}  // namespace

void bind_coder(nb::module_& m) {
  nb::class_<Tables>(m, "Tables")
      .def("__init__", [](Tables* self, Array<int32_t, 1> offsets, Array<int32_t, 1> lengths,
                          Array<uint16_t, 1> cdf) {
        new (self)
            Tables(offsets.data(), lengths.data(), offsets.shape(0), cdf.data(), cdf.shape(0));
      });
  m.def("encode_rows", &encode_rows);
  m.def("encode_latent", &encode_latent);
  m.def("encode_latents", &encode_latents);
  m.def("decode_rows", &decode_rows);
  m.def("decode_latents", &decode_latents);
  m.def("cost_bits", &cost_bits);
  m.def("crc32c", &checksum);
}

}  // namespace narrows
