#include "bench/suite/picture.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <sstream>

namespace mobula::bench {
namespace {

constexpr int kWidth = 960;
constexpr int kLeft = 230;   // Where the scale begins.
constexpr int kRight = 100;  // Left of the border: room for our value.
constexpr int kTop = 64;
constexpr int kLane = 26;

struct Dot {
  std::string side;
  double slower = 1;  // Times.
};

const char* colour_of(const std::string& side) {
  static const std::map<std::string, const char*> kColours = {{"mobula", "#c0392b"},  {"floor", "#222222"},
                                                              {"grpc", "#2980b9"},    {"mpi", "#27ae60"},
                                                              {"openmpi", "#27ae60"}, {"ray", "#8e44ad"}};
  const auto found = kColours.find(side);
  return found == kColours.end() ? "#7f8c8d" : found->second;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

std::vector<Dot> dots(const MeasuredRow& row) {
  std::vector<Dot> out;
  const std::optional<double> base = row.floor.median.value ? row.floor.median.value : row.ours.median.value;
  if (!base || *base <= 0) return out;
  const auto add = [&](const std::string& side, const Figure& figure) {
    const auto value = figure.median.value;
    if (!value || *value <= 0) return;
    out.push_back({side, row.row.better == Better::kLower ? *value / *base : *base / *value});
  };
  add("floor", row.floor);
  for (const auto& [name, figure] : row.peers) add(name, figure);
  add("mobula", row.ours);
  return out;
}

// A scale from 1/10 to the power of ten above the slowest side.
class Scale {
 public:
  explicit Scale(const std::vector<MeasuredRow>& rows) {
    double slowest = 10;
    for (const MeasuredRow& row : rows) {
      for (const Dot& dot : dots(row)) slowest = std::max(slowest, dot.slower);
    }
    decades_ = static_cast<int>(std::ceil(std::log10(slowest))) + 1;
  }
  int decades() const { return decades_; }
  double x(double slower) const {
    const double at = std::clamp((std::log10(slower) + 1) / decades_, 0.0, 1.0);
    return kLeft + at * (kWidth - kLeft - kRight);
  }

 private:
  int decades_ = 2;
};

std::string value_text(const MeasuredRow& row) {
  if (!row.ours.median.value) return "not measured";
  char text[48];
  std::snprintf(text, sizeof text, "%.*g %s", *row.ours.median.value >= 1000 ? 6 : 3, *row.ours.median.value,
                row.row.unit.c_str());
  return text;
}

void draw_scale(std::ostringstream& out, const Scale& scale, int bottom) {
  for (int d = 0; d <= scale.decades(); ++d) {
    const double times = std::pow(10, d - 1);
    const double x = scale.x(times);
    out << "<line x1='" << x << "' y1='" << kTop - 8 << "' x2='" << x << "' y2='" << bottom << "' stroke='"
        << (d == 1 ? "#888" : "#ddd") << "'/>\n<text x='" << x << "' y='" << kTop - 14
        << "' text-anchor='middle' fill='#666'>" << times << "x</text>\n";
  }
}

void draw_row(std::ostringstream& out, const Scale& scale, const MeasuredRow& row, int y) {
  out << "<text x='" << kLeft - 10 << "' y='" << y + 4 << "' text-anchor='end'>" << row.row.metric << "</text>\n";
  out << "<line x1='" << kLeft << "' y1='" << y << "' x2='" << kWidth - kRight << "' y2='" << y
      << "' stroke='#eee'/>\n";
  for (const Dot& dot : dots(row)) {
    out << "<circle cx='" << scale.x(dot.slower) << "' cy='" << y << "' r='" << (dot.side == "mobula" ? 6 : 5)
        << "' fill='" << colour_of(dot.side) << "'><title>" << escaped(dot.side) << "</title></circle>\n";
  }
  out << "<text x='" << kWidth - kRight + 10 << "' y='" << y + 4 << "' fill='" << colour_of("mobula") << "'>"
      << value_text(row) << "</text>\n";
}

void draw_legend(std::ostringstream& out, const std::vector<MeasuredRow>& rows) {
  std::vector<std::string> sides;
  for (const MeasuredRow& row : rows) {
    for (const Dot& dot : dots(row)) {
      if (std::find(sides.begin(), sides.end(), dot.side) == sides.end()) sides.push_back(dot.side);
    }
  }
  int x = kLeft;
  for (const std::string& side : sides) {
    out << "<circle cx='" << x << "' cy='16' r='5' fill='" << colour_of(side) << "'/><text x='" << x + 9 << "' y='20'>"
        << escaped(side) << "</text>\n";
    x += 90;
  }
}

}  // namespace

std::string picture(const std::vector<MeasuredRow>& rows, const std::string& caption) {
  const Scale scale(rows);
  const int bottom = kTop + kLane * static_cast<int>(rows.size());
  std::ostringstream out;
  out << "<svg xmlns='http://www.w3.org/2000/svg' width='" << kWidth << "' height='" << bottom + 40
      << "' font-family='sans-serif' font-size='12'>\n<rect width='100%' height='100%' fill='white'/>\n"
      << "<text x='10' y='20' font-weight='bold'>times slower than the floor</text>\n";
  draw_legend(out, rows);
  draw_scale(out, scale, bottom);
  int y = kTop + kLane / 2;
  for (const MeasuredRow& row : rows) {
    draw_row(out, scale, row, y);
    y += kLane;
  }
  out << "<text x='10' y='" << bottom + 26 << "' fill='#666'>" << escaped(caption) << "</text>\n</svg>\n";
  return out.str();
}

}  // namespace mobula::bench
