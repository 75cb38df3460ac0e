#include "device/tensors.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace narrows {
namespace {

constexpr size_t kLargestFile = size_t{64} << 20;

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw std::invalid_argument(path + ": " + what);
}

}  // namespace

std::string read_file(const std::string& path, size_t limit) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) fail(path, "cannot be read");
  std::string data;
  char part[1 << 14];
  for (size_t got; (got = std::fread(part, 1, sizeof part, file.get()));) {
    data.append(part, got);
    if (data.size() > limit) fail(path, "over " + std::to_string(limit) + " bytes");
  }
  return data;
}

Tensors::Tensors(const std::string& path) : path_(path), data_(read_file(path, kLargestFile)) {
  uint64_t length = 0;
  for (size_t i = 0; i < 8 && i < data_.size(); ++i)
    length |= uint64_t{static_cast<uint8_t>(data_[i])} << 8 * i;
  if (data_.size() < 8 || length > data_.size() - 8) fail(path, "not a safetensors file");
  header_ = Json::parse(data_.substr(8, length));
  data_.erase(0, 8 + length);
}

const Json& Tensors::entry(const std::string& name) const {
  const Json* found = header_.find(name.c_str());
  if (!found) fail(path_, "no tensor " + name);
  return *found;
}

std::vector<size_t> Tensors::shape(const std::string& name) const {
  std::vector<size_t> sides;
  for (const Json& side : entry(name)["shape"].as_list()) {
    if (side.as_integer() < 0) fail(path_, name + ": a negative side");
    sides.push_back(side.as_integer());
  }
  return sides;
}

template <typename T>
std::vector<T> Tensors::numbers(const std::string& name, const char* type) const {
  const Json& found = entry(name);
  if (found["dtype"].as_text() != type)
    fail(path_, name + ": expected " + type + ", got " + found["dtype"].as_text());
  const std::vector<Json>& ends = found["data_offsets"].as_list();
  if (ends.size() != 2) fail(path_, name + ": expected two offsets");
  const double begin = ends[0].as_number(), end = ends[1].as_number();
  double bytes = sizeof(T);
  for (const size_t side : shape(name)) bytes *= static_cast<double>(side);
  if (begin < 0 || end > static_cast<double>(data_.size()) || end - begin != bytes)
    fail(path_, name + ": its bytes do not fit its shape");
  std::vector<T> values(static_cast<size_t>(bytes) / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), data_.data() + static_cast<size_t>(begin), bytes);
  return values;
}

template std::vector<float> Tensors::numbers(const std::string&, const char*) const;
template std::vector<int8_t> Tensors::numbers(const std::string&, const char*) const;
template std::vector<int32_t> Tensors::numbers(const std::string&, const char*) const;
template std::vector<uint16_t> Tensors::numbers(const std::string&, const char*) const;

}  // namespace narrows
