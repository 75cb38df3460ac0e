// The C interface: no exception leaves it.
#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "coder/crc32c.h"
#include "coder/decoder.h"
#include "coder/encoder.h"
#include "device/json.h"
#include "device/layers.h"
#include "device/tensors.h"
#include "head/head.h"
#include "narrows/narrows.h"

namespace {

using namespace narrows;

constexpr size_t kHeaderBytes = 22, kChecksumAt = 18;
constexpr size_t kLargestManifest = size_t{4} << 20;

thread_local std::string last_error;

struct Failure {
  narrows_status status;
  std::string what;
};

[[noreturn]] void fail(narrows_status status, const std::string& what) {
  throw Failure{status, what};
}

template <typename Body>
narrows_status guarded(const Body& body) {
  try {
    body();
    return NARROWS_OK;
  } catch (const Failure& failure) {
    last_error = failure.what;
    return failure.status;
  } catch (const std::exception& error) {
    last_error = error.what();
    return NARROWS_FAILED;
  }
}

struct Point {
  std::unique_ptr<Tables> tables;
  std::vector<Quantiser> quantisers;
  std::vector<Dequantiser> dequantisers;
};

Plan head_of(const std::string& folder, const Json& head) {
  const Json* integer = head.find("int8_layers");
  const Tensors weights(folder + (integer ? "/head_int8.safetensors" : "/head.safetensors"));
  return plan_of_layers(integer ? *integer : head["layers"], weights);
}

std::vector<Point> points_of(const std::string& path, size_t channels, size_t count) {
  const Tensors tensors(path);
  const std::vector<float> gain = tensors.floats("gain"), back = tensors.floats("inverse_gain"),
                           median = tensors.floats("median");
  if (gain.size() != count * channels || back.size() != gain.size() || median.size() != gain.size())
    throw std::invalid_argument(path + ": gains of another shape than the manifest's points");
  std::vector<Point> points;
  for (size_t p = 0; p < count; ++p) {
    const std::string name = "p" + std::to_string(p) + ".";
    const std::vector<int32_t> offsets = tensors.integers(name + "offsets");
    const std::vector<int32_t> lengths = tensors.integers(name + "lengths");
    const std::vector<uint16_t> cdf = tensors.words(name + "cdf");
    if (offsets.size() != channels || lengths.size() != channels)
      throw std::invalid_argument(path + ": tables of another number of channels");
    Point point;
    point.tables =
        std::make_unique<Tables>(offsets.data(), lengths.data(), channels, cdf.data(), cdf.size());
    for (size_t c = p * channels; c < (p + 1) * channels; ++c) {
      point.quantisers.push_back({gain[c], median[c]});
      point.dequantisers.push_back({back[c], median[c]});
    }
    points.push_back(std::move(point));
  }
  return points;
}

}  // namespace

struct narrows_bundle {
  uint8_t prefix[4];  // of its digest, as packets carry it
  size_t channels, max_height, max_width, stride;
  narrows_rule rule;
  std::unique_ptr<Head> head;
  std::vector<Point> points;

  explicit narrows_bundle(const std::string& folder) {
    const Json manifest = Json::parse(read_file(folder + "/manifest.json", kLargestManifest));
    const std::string& digest = manifest["digest"].as_text();
    if (digest.size() != 64) throw std::invalid_argument("manifest.json: a digest has 64 digits");
    for (int i = 0; i < 4; ++i)
      prefix[i] = static_cast<uint8_t>(std::stoi(digest.substr(2 * i, 2), nullptr, 16));
    const Json& latent = manifest["latent"];
    channels = size_of(latent["channels"]);
    max_height = size_of(latent["max_height"]);
    max_width = size_of(latent["max_width"]);
    const Json& input = manifest["input"];
    stride = size_of(input["stride"]);
    rule = {size_of(input["short_side"]), input["max_aspect"].as_number(), stride};
    if (!(rule.max_aspect >= 1 && rule.max_aspect <= 4096))
      throw std::invalid_argument("manifest.json: max_aspect: expected 1 to 4096");
    head = std::make_unique<Head>(head_of(folder, manifest["head"]), isa());
    if (head->latent_shape(64 * stride, 64 * stride).channels != channels)
      throw std::invalid_argument("the head's channels are not the latent's");
    points = points_of(folder + "/tables.safetensors", channels,
                       manifest["operating_points"].as_list().size());
  }

  const Point& point(int index, narrows_status otherwise) const {
    if (index < 0 || static_cast<size_t>(index) >= points.size())
      fail(otherwise, "operating point " + std::to_string(index) + ": this bundle has 0 to " +
                          std::to_string(points.size() - 1));
    return points[index];
  }

  // The rows of a latent, once its size is found to be one that this bundle has.
  std::vector<size_t> starts(size_t height, size_t width, narrows_status otherwise) const {
    if (height < 1 || width < 1 || height > max_height || width > max_width)
      fail(otherwise, "a latent of " + std::to_string(height) + " x " + std::to_string(width) +
                          ": this bundle accepts 1 x 1 to " + std::to_string(max_height) + " x " +
                          std::to_string(max_width));
    std::vector<size_t> rows;
    for (size_t c = 0; c <= channels; ++c) rows.push_back(c * height * width);
    return rows;
  }

  narrows_shape shape(size_t height, size_t width) const {
    const size_t limit = stride * std::max(max_height, max_width);
    if (height < 1 || width < 1 || height > limit || width > limit)
      fail(NARROWS_BAD_ARGUMENT, "a picture of " + std::to_string(height) + " x " +
                                     std::to_string(width) + ": expected sides of 1 to " +
                                     std::to_string(limit) + ": resize it by the bundle's rule");
    const Head::Shape found = head->latent_shape(filled(height), filled(width));
    return {found.channels, found.height, found.width};
  }

  void run(const uint8_t* picture, size_t height, size_t width, float* latent) const {
    const size_t high = filled(height), wide = filled(width);
    if (high == height && wide == width) return head->run(picture, height, width, latent);
    std::vector<uint8_t> padded(high * wide * 3);
    for (size_t y = 0; y < high; ++y)
      for (size_t x = 0; x < wide; ++x) {
        const size_t from = std::min(y, height - 1) * width + std::min(x, width - 1);
        std::memcpy(&padded[(y * wide + x) * 3], picture + 3 * from, 3);
      }
    head->run(padded.data(), high, wide, latent);
  }

  size_t filled(size_t side) const { return (side + stride - 1) / stride * stride; }

 private:
  static size_t size_of(const Json& value) {
    const int size = value.as_integer();
    if (size < 1 || size > 4096) throw std::invalid_argument("manifest.json: a size out of range");
    return size;
  }
};

namespace {

void put(uint8_t*& to, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) *to++ = static_cast<uint8_t>(value >> 8 * i);
}

uint32_t get(const uint8_t* from, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= uint32_t{from[i]} << 8 * i;
  return value;
}

// The checksum is of the packet without the checksum.
uint32_t checksum(const uint8_t* header, const uint8_t* payload, size_t size) {
  std::vector<uint8_t> bytes(header, header + kChecksumAt);
  bytes.insert(bytes.end(), payload, payload + size);
  return crc32c(bytes.data(), bytes.size());
}

void encode(const narrows_bundle& bundle, const float* latent, size_t height, size_t width,
            int point, uint8_t* packet, size_t capacity, size_t* size) {
  thread_local Encoder encoder(isa());
  const Point& chosen = bundle.point(point, NARROWS_BAD_ARGUMENT);
  const std::vector<size_t> starts = bundle.starts(height, width, NARROWS_BAD_ARGUMENT);
  const Payload coded = encoder.encode(latent, chosen.quantisers.data(),
                                       {starts.data(), bundle.channels}, *chosen.tables, 0);
  *size = kHeaderBytes + coded.size;
  if (coded.size >> 24) fail(NARROWS_BAD_ARGUMENT, "a payload over 16 MiB does not fit a packet");
  if (*size > capacity)
    fail(NARROWS_TOO_SMALL,
         "a packet of " + std::to_string(*size) + " bytes, room for " + std::to_string(capacity));
  uint8_t* to = packet;
  *to++ = 'N';
  *to++ = 'W';
  *to++ = 1;
  *to++ = static_cast<uint8_t>(point);
  to = std::copy_n(bundle.prefix, 4, to);
  put(to, static_cast<uint32_t>(height), 2);
  put(to, static_cast<uint32_t>(width), 2);
  put(to, static_cast<uint32_t>(__builtin_ctz(coded.lanes)), 1);
  put(to, static_cast<uint32_t>(coded.size), 3);
  put(to, static_cast<uint32_t>(coded.tail), 2);
  put(to, checksum(packet, coded.data, coded.size), 4);
  std::copy_n(coded.data, coded.size, to);
}

void decode(const narrows_bundle& bundle, const uint8_t* packet, size_t size, float* latent,
            size_t capacity, narrows_shape* shape, int* point) {
  thread_local Decoder decoder(isa());
  if (size < kHeaderBytes || packet[0] != 'N' || packet[1] != 'W' || packet[2] != 1)
    fail(NARROWS_BAD_PACKET, "expected a packet of version 1, got " + std::to_string(size) +
                                 " bytes of something else");
  const size_t payload = get(packet + 13, 3), height = get(packet + 8, 2),
               width = get(packet + 10, 2);
  if (size != kHeaderBytes + payload)
    fail(NARROWS_BAD_PACKET, "the header announces " + std::to_string(kHeaderBytes + payload) +
                                 " bytes, got " + std::to_string(size) + ": resend");
  if (get(packet + kChecksumAt, 4) != checksum(packet, packet + kHeaderBytes, payload))
    fail(NARROWS_BAD_PACKET, "CRC-32C differs: bytes changed on the way: resend");
  if (std::memcmp(packet + 4, bundle.prefix, 4) != 0)
    fail(NARROWS_BAD_PACKET, "a packet of another bundle");
  if (packet[12] > 6) fail(NARROWS_BAD_PACKET, "reserved bits of the lane field are set");
  const Point& chosen = bundle.point(packet[3], NARROWS_BAD_PACKET);
  const std::vector<size_t> starts = bundle.starts(height, width, NARROWS_BAD_PACKET);
  *shape = {bundle.channels, height, width};
  *point = packet[3];
  if (capacity < starts.back())
    fail(NARROWS_TOO_SMALL, "a latent of " + std::to_string(starts.back()) + " floats, room for " +
                                std::to_string(capacity));
  const Coded coded{packet + kHeaderBytes, payload, 1 << packet[12],
                    static_cast<int>(get(packet + 16, 2))};
  std::string error;
  float* const into[] = {latent};
  decoder.decode({&coded, 1}, chosen.dequantisers.data(), {starts.data(), bundle.channels},
                 *chosen.tables, into, &error);
  if (!error.empty()) fail(NARROWS_BAD_PACKET, "the payload does not decode: " + error);
}

}  // namespace

const char* narrows_last_error(void) { return last_error.c_str(); }

narrows_status narrows_open(const char* folder, narrows_bundle** bundle) {
  return guarded([&] {
    try {
      *bundle = new narrows_bundle(folder);
    } catch (const std::logic_error& error) {  // what does not parse, and what does not fit
      fail(NARROWS_BAD_BUNDLE, std::string(folder) + ": " + error.what());
    }
  });
}

void narrows_close(narrows_bundle* bundle) { delete bundle; }

int narrows_points(const narrows_bundle* bundle) { return static_cast<int>(bundle->points.size()); }

narrows_rule narrows_input_rule(const narrows_bundle* bundle) { return bundle->rule; }

narrows_status narrows_latent_shape(const narrows_bundle* bundle, size_t height, size_t width,
                                    narrows_shape* shape) {
  return guarded([&] { *shape = bundle->shape(height, width); });
}

narrows_status narrows_run_head(const narrows_bundle* bundle, const uint8_t* picture, size_t height,
                                size_t width, float* latent, size_t capacity) {
  return guarded([&] {
    const narrows_shape shape = bundle->shape(height, width);
    const size_t size = shape.channels * shape.height * shape.width;
    if (size > capacity)
      fail(NARROWS_TOO_SMALL,
           "a latent of " + std::to_string(size) + " floats, room for " + std::to_string(capacity));
    bundle->run(picture, height, width, latent);
  });
}

narrows_status narrows_encode_latent(const narrows_bundle* bundle, const float* latent,
                                     size_t height, size_t width, int point, uint8_t* packet,
                                     size_t capacity, size_t* size) {
  return guarded([&] { encode(*bundle, latent, height, width, point, packet, capacity, size); });
}

narrows_status narrows_encode_picture(const narrows_bundle* bundle, const uint8_t* picture,
                                      size_t height, size_t width, int point, uint8_t* packet,
                                      size_t capacity, size_t* size) {
  return guarded([&] {
    const narrows_shape shape = bundle->shape(height, width);
    thread_local std::vector<float> latent;
    latent.resize(shape.channels * shape.height * shape.width);
    bundle->run(picture, height, width, latent.data());
    encode(*bundle, latent.data(), shape.height, shape.width, point, packet, capacity, size);
  });
}

narrows_status narrows_decode(const narrows_bundle* bundle, const uint8_t* packet, size_t size,
                              float* latent, size_t capacity, narrows_shape* shape, int* point) {
  return guarded([&] { decode(*bundle, packet, size, latent, capacity, shape, point); });
}
