#include "device/json.h"

#include <cmath>
#include <cstdlib>
#include <stdexcept>

namespace narrows {
namespace {

constexpr int kDepth = 64;

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) {}

  Json document() {
    Json value = any(0);
    space();
    if (at_ != text_.size()) fail("more after its end");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) {
    throw std::invalid_argument("JSON, byte " + std::to_string(at_) + ": " + what);
  }

  void space() {
    while (at_ < text_.size() && std::string(" \t\r\n").find(text_[at_]) != std::string::npos)
      ++at_;
  }

  bool take(char c) {
    space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!take(c)) fail(std::string("expected ").append(1, c));
  }

  Json any(int depth) {
    if (depth > kDepth) fail("nested too deep");
    space();
    if (at_ == text_.size()) fail("it ends too early");
    switch (text_[at_]) {
      case '{':
        return object(depth);
      case '[':
        return list(depth);
      case '"': {
        Json value(Json::Kind::text);
        value.text = string();
        return value;
      }
      case 't':
        return word("true", Json::Kind::boolean, 1);
      case 'f':
        return word("false", Json::Kind::boolean, 0);
      case 'n':
        return word("null", Json::Kind::null, 0);
      default:
        return number();
    }
  }

  Json object(int depth) {
    Json value(Json::Kind::object);
    expect('{');
    if (take('}')) return value;
    do {
      space();
      if (at_ == text_.size() || text_[at_] != '"') fail("expected a name");
      std::string name = string();
      expect(':');
      value.members.emplace_back(std::move(name), any(depth + 1));
    } while (take(','));
    expect('}');
    return value;
  }

  Json list(int depth) {
    Json value(Json::Kind::list);
    expect('[');
    if (take(']')) return value;
    do value.items.push_back(any(depth + 1));
    while (take(','));
    expect(']');
    return value;
  }

  // Escapes stay as they are written but for the quote and the backslash: no name has others.
  std::string string() {
    std::string found;
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\' && ++at_ == text_.size()) break;
      found += text_[at_];
    }
    if (at_ == text_.size()) fail("a text without its end");
    ++at_;
    return found;
  }

  Json word(const std::string& expected, Json::Kind kind, double number) {
    if (text_.compare(at_, expected.size(), expected) != 0) fail("expected " + expected);
    at_ += expected.size();
    Json value(kind);
    value.number = number;
    return value;
  }

  Json number() {
    const char* begin = text_.c_str() + at_;
    char* end = nullptr;
    Json value(Json::Kind::number);
    value.number = std::strtod(begin, &end);
    if (end == begin || !std::isfinite(value.number)) fail("expected a value");
    at_ += end - begin;
    return value;
  }

  const std::string& text_;
  size_t at_ = 0;
};

}  // namespace

Json Json::parse(const std::string& text) { return Parser(text).document(); }

const Json* Json::find(const char* name) const {
  for (const auto& [key, value] : members)
    if (key == name) return &value;
  return nullptr;
}

const Json& Json::operator[](const char* name) const {
  if (const Json* found = find(name)) return *found;
  throw std::invalid_argument(std::string("expected ") + name + ", there is none");
}

double Json::as_number() const {
  if (kind != Kind::number) throw std::invalid_argument("expected a number");
  return number;
}

int Json::as_integer() const {
  const double value = as_number();
  if (value != std::floor(value) || std::fabs(value) > 1e9)
    throw std::invalid_argument("expected an integer, got " + std::to_string(value));
  return static_cast<int>(value);
}

const std::string& Json::as_text() const {
  if (kind != Kind::text) throw std::invalid_argument("expected a text");
  return text;
}

const std::vector<Json>& Json::as_list() const {
  if (kind != Kind::list) throw std::invalid_argument("expected a list");
  return items;
}

}  // namespace narrows
