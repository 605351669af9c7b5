#include "native/tailcfg/derp_map.h"

#include <catch2/catch.hpp>

#include <string>

namespace es::tailcfg {
namespace {

constexpr std::string_view kTokyo = R"({"Regions":{"7":{"RegionID":7,"RegionCode":"tok",
  "RegionName":"Tokyo","Latitude":35.6,"Longitude":139.7,"Avoid":true,"NoMeasureNoHome":true,
  "Nodes":[{"Name":"7a","RegionID":7,"HostName":"derp7.example.com","CertName":"c.example",
  "IPv4":"192.0.2.7","IPv6":"none","STUNPort":-1,"STUNOnly":true,"DERPPort":8443,
  "InsecureForTests":true,"STUNTestIP":"192.0.2.8","CanPort80":true}]}},
  "HomeParams":{"RegionScore":{"7":0.5}},"omitDefaultRegions":true,"Later":[1]})";

DerpMap parse(std::string_view text) {
  auto map = parse_derp_map(text);
  if (!map.ok()) FAIL(map.error());
  return *map;
}
std::string one_node(const std::string& node) {
  return R"({"Regions":{"1":{"RegionID":1,"Nodes":[)" + node + "]}}}";
}

}  // namespace

TEST_CASE("every member of a DERP map that clients read survives reading and writing") {
  const DerpMap map = parse(kTokyo);
  CHECK(map.regions.at(7)->nodes.at(0).derp_port == 8443);
  CHECK(map.region_scores.at(7) == 0.5);
  const std::string text = to_json(map);
  CHECK(parse(text) == map);
  for (const char* name : {"RegionCode", "Latitude", "Longitude", "Avoid", "NoMeasureNoHome",
                           "CertName", "IPv4", "IPv6", "STUNPort", "STUNOnly", "DERPPort",
                           "InsecureForTests", "STUNTestIP", "CanPort80"}) {
    CAPTURE(name);
    CHECK(text.find("\"" + std::string(name) + "\":") != std::string::npos);
  }
  CHECK(text.find("Later") == std::string::npos);
}

TEST_CASE(
    "the names of a DERP map's members are read in any case, as Headscale's files write them") {
  const DerpMap map = parse(R"({"regions":{"900":{"regionid":900,"regioncode":900,
    "nodes":[{"name":"900a","regionid":900,"hostname":"derp.example.com","stunport":0}]}}})");
  CHECK(map.regions.at(900)->code == "900");
  CHECK(map.regions.at(900)->nodes.at(0).host_name == "derp.example.com");
}

TEST_CASE("a later map replaces regions, and a region without a value takes one out") {
  DerpMap map = parse(kTokyo);
  map.merge(parse(R"({"Regions":{"8":{"Nodes":[{"Name":"8a","HostName":"h"}]}}})"));
  CHECK(map.regions.size() == 2);
  map.merge(parse(R"({"Regions":{"7":null}})"));
  CHECK_FALSE(map.regions.at(7).has_value());
  CHECK(to_json(map).find("Tokyo") == std::string::npos);
}

TEST_CASE("a DERP map with a mistake is refused whole, with the place of it") {
  const auto problem = [](const std::string& text) {
    const auto map = parse_derp_map(text);
    return map.ok() ? std::string("accepted") : map.error();
  };
  CHECK(problem("[]") == "is no JSON object");
  CHECK(problem(R"({"Regions":[]})") == "Regions is no object of regions by their id");
  for (const char* key : {"0", "65536", "-1", "1x", "", " 1"}) {
    CAPTURE(key);
    CHECK(problem("{\"Regions\":{\"" + std::string(key) + "\":null}}") ==
          "Regions has a key that is no id from 1 to 65535");
  }
  CHECK(problem(R"({"Regions":{"1":{"RegionID":2,"Nodes":[]}}})") ==
        "region 1: RegionID is not the key that it stands under");
  CHECK(problem(R"({"Regions":{"1":{"RegionID":1,"Nodes":[]}}})") ==
        "region 1: Nodes is missing or empty");
  CHECK(problem(one_node("7")) == "region 1, node 1 is no node");
  CHECK(problem(one_node(R"({"Name":"a","HostName":"h","RegionID":2})")) ==
        "region 1, node 1: RegionID is not that of its region");
  CHECK(problem(one_node(R"({"HostName":"h"})")) == "region 1, node 1: Name is missing");
  for (const char* host : {"", "a b", "h/x", "a@b"}) {
    CAPTURE(host);
    CHECK(problem(one_node("{\"Name\":\"a\",\"HostName\":\"" + std::string(host) + "\"}")) ==
          "region 1, node 1: HostName is missing or no host name");
  }
  CHECK(problem(one_node(R"({"Name":"a","HostName":"h","STUNPort":65536})")) ==
        "region 1, node 1: STUNPort is out of range");
  CHECK(problem(one_node(R"({"Name":"a","HostName":"h","STUNPort":-2})")) ==
        "region 1, node 1: STUNPort is out of range");
  CHECK(problem(one_node(R"({"Name":"a","HostName":"h","DERPPort":1.5})")) ==
        "region 1, node 1: DERPPort is no whole number");
  CHECK(problem(one_node(R"({"Name":"a\n","HostName":"h"})")) ==
        "region 1, node 1: Name holds a control character");
  CHECK(problem(one_node("{\"Name\":\"" + std::string(256, 'a') + "\",\"HostName\":\"h\"}")) ==
        "region 1, node 1: Name is longer than 255 bytes");
  CHECK(problem(one_node("{\"Name\":\"" + std::string(255, 'a') + "\",\"HostName\":\"h\"}")) ==
        "accepted");
}

TEST_CASE("a DERP map has a largest size") {
  const auto regions = [](size_t count) {
    std::string text = "{\"Regions\":{";
    for (size_t i = 1; i <= count; ++i) {
      text += (i > 1 ? ",\"" : "\"") + std::to_string(i) + "\":null";
    }
    return text + "}}";
  };
  CHECK(parse_derp_map(regions(kMaxDerpRegions)).ok());
  CHECK_FALSE(parse_derp_map(regions(kMaxDerpRegions + 1)).ok());
  const auto nodes = [](size_t count) {
    std::string text;
    for (size_t i = 0; i < count; ++i) {
      text += std::string(i > 0 ? "," : "") + R"({"Name":"a","HostName":"h"})";
    }
    return one_node(text);
  };
  CHECK(parse_derp_map(nodes(kMaxDerpNodes)).ok());
  CHECK_FALSE(parse_derp_map(nodes(kMaxDerpNodes + 1)).ok());
}

}  // namespace es::tailcfg
