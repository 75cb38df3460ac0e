// The Python face of the native kernels. Arguments are checked in narrows.kernels; every call that
// computes gives up the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "coder/crc32c.h"
#include "coder/rans.h"
#include "isa.h"

namespace nb = nanobind;
using namespace narrows;

namespace {

template <typename T, int N>
using Array = nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
using Symbols = nb::ndarray<int16_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;

struct Coded {
  const uint8_t* data;
  size_t size;
  int lanes, tail;
};

nb::tuple encode_frame(Array<int16_t, 3> symbols, const Tables& tables, int lanes) {
  const size_t area = symbols.shape(1) * symbols.shape(2);
  Encoded out;
  {
    nb::gil_scoped_release unlocked;
    out = encode(symbols.data(), area, tables, lanes);
  }
  const nb::bytes payload(reinterpret_cast<const char*>(out.payload.data()), out.payload.size());
  return nb::make_tuple(payload, out.lanes, out.tail);
}

// The caller's list keeps the payloads alive while threads read them.
std::vector<Coded> coded_frames(nb::list frames) {
  std::vector<Coded> coded;
  for (nb::handle frame : frames) {
    const auto payload = nb::cast<nb::bytes>(frame[0]);
    coded.push_back({static_cast<const uint8_t*>(payload.data()), payload.size(),
                     nb::cast<int>(frame[1]), nb::cast<int>(frame[2])});
  }
  return coded;
}

void decode_one(const Coded& coded, const Tables& tables, size_t area, int16_t* out,
                std::string& error) {
  error = decode(coded.data, coded.size, area, tables, coded.lanes, coded.tail, out);
  if (!error.empty()) std::fill_n(out, tables.channels().size() * area, int16_t{0});
}

nb::list decode_frames(nb::list frames, const Tables& tables, Symbols out, int threads) {
  const std::vector<Coded> coded = coded_frames(frames);
  const size_t area = out.shape(2) * out.shape(3), stride = out.shape(1) * area;
  std::vector<std::string> errors(coded.size());
  {
    nb::gil_scoped_release unlocked;
    std::atomic<size_t> next{0};
    auto work = [&] {
      for (size_t i; (i = next++) < coded.size();)
        decode_one(coded[i], tables, area, out.data() + i * stride, errors[i]);
    };
    std::vector<std::jthread> pool;
    const int wanted = std::min<int>(threads, static_cast<int>(coded.size()));
    for (int i = 1; i < wanted; ++i) pool.emplace_back(work);
    work();
  }
  nb::list found;
  for (const std::string& error : errors)
    found.append(error.empty() ? nb::object(nb::none()) : nb::object(nb::str(error.c_str())));
  return found;
}

double cost_of_frame(Array<int16_t, 3> symbols, const Tables& tables) {
  nb::gil_scoped_release unlocked;
  return cost_bits(symbols.data(), symbols.shape(1) * symbols.shape(2), tables);
}

uint32_t checksum(nb::bytes data) {
  const auto* bytes = static_cast<const uint8_t*>(data.data());
  const size_t size = data.size();
  nb::gil_scoped_release unlocked;
  return crc32c(bytes, size);
}

}  // namespace

NB_MODULE(_native, m) {
  nb::class_<Tables>(m, "Tables")
      .def("__init__", [](Tables* self, Array<int32_t, 1> offsets, Array<int32_t, 1> lengths,
                          Array<uint16_t, 1> cdf) {
        new (self)
            Tables(offsets.data(), lengths.data(), offsets.shape(0), cdf.data(), cdf.shape(0));
      });
  m.def("encode", &encode_frame, nb::arg("symbols"), nb::arg("tables"), nb::arg("lanes"));
  m.def("decode_batch", &decode_frames, nb::arg("frames"), nb::arg("tables"), nb::arg("out"),
        nb::arg("threads"));
  m.def("cost_bits", &cost_of_frame, nb::arg("symbols"), nb::arg("tables"));
  m.def("isa", [] { return std::string(name_of(isa())); });
  m.def("crc32c", &checksum, nb::arg("data"));
}
