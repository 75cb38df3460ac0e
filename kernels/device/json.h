// JSON (RFC 8259), as much as a manifest needs: read whole, checked, refused with the reason.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace narrows {

struct Json {
  enum class Kind { null, boolean, number, text, list, object };

  Json(Kind k = Kind::null) : kind(k) {}

  Kind kind;
  double number = 0;  // or a boolean
  std::string text;
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> members;

  // Throws std::invalid_argument: not JSON, or deeper than 64.
  static Json parse(const std::string& text);

  // Throws std::invalid_argument where there is no such member, or of another kind.
  const Json& operator[](const char* name) const;
  const Json* find(const char* name) const;
  double as_number() const;
  int as_integer() const;
  const std::string& as_text() const;
  const std::vector<Json>& as_list() const;
};

}  // namespace narrows
