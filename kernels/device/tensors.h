// A safetensors file: 8 bytes of header length, a JSON header, the numbers.
#pragma once

#include <string>
#include <vector>

#include "device/json.h"

namespace narrows {

class Tensors {
 public:
  // Throws std::invalid_argument: no such file, or not one of safetensors.
  explicit Tensors(const std::string& path);

  bool has(const std::string& name) const { return header_.find(name.c_str()); }
  std::vector<size_t> shape(const std::string& name) const;

  // All numbers of a tensor. Throws std::invalid_argument: none of that name and type.
  std::vector<float> floats(const std::string& name) const { return numbers<float>(name, "F32"); }
  std::vector<int8_t> bytes(const std::string& name) const { return numbers<int8_t>(name, "I8"); }
  std::vector<int32_t> integers(const std::string& name) const {
    return numbers<int32_t>(name, "I32");
  }
  std::vector<uint16_t> words(const std::string& name) const {
    return numbers<uint16_t>(name, "U16");
  }

 private:
  template <typename T>
  std::vector<T> numbers(const std::string& name, const char* type) const;
  const Json& entry(const std::string& name) const;

  std::string path_;
  Json header_;
  std::string data_;
};

// Everything in a file of at most `limit` bytes. Throws std::invalid_argument.
std::string read_file(const std::string& path, size_t limit);

}  // namespace narrows
