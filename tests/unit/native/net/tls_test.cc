#include "tests/unit/native/net/test_server.h"

#include <catch2/catch.hpp>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>
#include <unistd.h>

namespace es::net {
namespace {

// A folder with a self-signed certificate for that name; gone at the end.
class CertificateFolder {
 public:
  CertificateFolder()
      : folder_(std::filesystem::temp_directory_path() /
                ("edgescale-tls-test-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~CertificateFolder() { std::filesystem::remove_all(folder_); }

  TlsFiles files() const {
    return {(folder_ / "cert.pem").string(), (folder_ / "key.pem").string()};
  }

  void write(const std::string& name) const {
    EVP_PKEY* key = ::EVP_EC_gen("P-256");
    X509* cert = ::X509_new();
    ::X509_set_version(cert, 2);
    ::ASN1_INTEGER_set(::X509_get_serialNumber(cert), 1);
    ::X509_gmtime_adj(::X509_getm_notBefore(cert), -3600);
    ::X509_gmtime_adj(::X509_getm_notAfter(cert), 3600);
    ::X509_set_pubkey(cert, key);
    X509_NAME* subject = ::X509_get_subject_name(cert);
    ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                 reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    ::X509_set_issuer_name(cert, subject);
    ::X509_sign(cert, key, ::EVP_sha256());
    std::FILE* out = std::fopen(files().certificate_path.c_str(), "w");
    ::PEM_write_X509(out, cert);
    std::fclose(out);
    out = std::fopen(files().key_path.c_str(), "w");
    ::PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(out);
    ::X509_free(cert);
    ::EVP_PKEY_free(key);
  }

 private:
  std::filesystem::path folder_;
};

class TlsClient {
 public:
  explicit TlsClient(uint16_t port, int max_version = TLS1_3_VERSION,
                     const std::string& alpn = std::string("\x08http/1.1"))
      : raw_(port), ctx_(::SSL_CTX_new(::TLS_client_method())) {
    ::SSL_CTX_set_security_level(ctx_, 0);
    ::SSL_CTX_set_min_proto_version(ctx_, TLS1_VERSION);
    ::SSL_CTX_set_max_proto_version(ctx_, max_version);
    ssl_ = ::SSL_new(ctx_);
    ::SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(alpn.data()),
                          static_cast<unsigned>(alpn.size()));
    ::SSL_set_fd(ssl_, raw_.fd());
    ::ERR_clear_error();
    connected_ = ::SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    ::SSL_free(ssl_);
    ::SSL_CTX_free(ctx_);
  }

  bool connected() const { return connected_; }
  int version() const { return ::SSL_version(ssl_); }
  std::string subject() const {
    const std::unique_ptr<X509, decltype(&::X509_free)> cert(::SSL_get1_peer_certificate(ssl_),
                                                             &::X509_free);
    char name[256] = "";
    ::X509_NAME_get_text_by_NID(::X509_get_subject_name(cert.get()), NID_commonName, name,
                                sizeof name);
    return name;
  }
  std::string get(const std::string& path) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    ::SSL_write(ssl_, request.data(), static_cast<int>(request.size()));
    std::string all;
    char bytes[8192];
    while (all.find("\r\n\r\n") == std::string::npos ||
           all.find("127.0.0.1") == std::string::npos) {
      const int n = ::SSL_read(ssl_, bytes, sizeof bytes);
      if (n <= 0) break;
      all.append(bytes, static_cast<size_t>(n));
    }
    return all;
  }

 private:
  RawClient raw_;
  SSL_CTX* ctx_;
  SSL* ssl_ = nullptr;
  bool connected_ = false;
};

TestServer::Options tls_options(const CertificateFolder& folder) {
  TestServer::Options options = TestServer::options();
  options.tls = true;
  options.tls_files = folder.files();
  return options;
}

TEST_CASE("TLS 1.2 and 1.3 are spoken, nothing older, and keep-alive works inside") {
  CertificateFolder folder;
  folder.write("first.test");
  TestServer server(tls_options(folder));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(server.port(), version);
    REQUIRE(client.connected());
    CHECK(client.version() == version);
    CHECK(client.subject() == "first.test");
    CHECK(client.get("/hello").find("hello 127.0.0.1") != std::string::npos);
    CHECK(client.get("/hello").find("HTTP/1.1 200 OK") == 0);
  }
  CHECK_FALSE(TlsClient(server.port(), TLS1_1_VERSION).connected());
  CHECK(server.metric_when("edgescale_tls_handshake_failures_total", 1) == 1);
}

TEST_CASE("a client that offers only other protocols by ALPN is refused") {
  CertificateFolder folder;
  folder.write("first.test");
  TestServer server(tls_options(folder));
  CHECK_FALSE(TlsClient(server.port(), TLS1_3_VERSION, std::string("\x02h2")).connected());
}

TEST_CASE("new connections get the new certificate after a reload; a broken one is refused") {
  CertificateFolder folder;
  folder.write("first.test");
  TestServer server(tls_options(folder));
  TlsClient old_client(server.port());
  REQUIRE(old_client.connected());

  folder.write("second.test");
  const auto exchange =
      server.server().prepare_reload(TestServer::options().limits, folder.files());
  REQUIRE(exchange.ok());
  (*exchange)();
  CHECK(TlsClient(server.port()).subject() == "second.test");
  CHECK(old_client.get("/hello").find("hello 127.0.0.1") != std::string::npos);

  std::FILE* out = std::fopen(folder.files().key_path.c_str(), "w");
  std::fputs("no key\n", out);
  std::fclose(out);
  const auto refused = server.server().prepare_reload(TestServer::options().limits, folder.files());
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().find("tls_key_path") == 0);
  TlsFiles gone = folder.files();
  gone.certificate_path += ".not";
  CHECK(server.server().prepare_reload(TestServer::options().limits, gone).error() ==
        "tls_cert_path " + gone.certificate_path + ": No such file or directory");
  CHECK(TlsClient(server.port()).subject() == "second.test");
}

TEST_CASE("a handshake that does not come, or is none, ends within the header timeout") {
  CertificateFolder folder;
  folder.write("first.test");
  TestServer::Options options = tls_options(folder);
  options.limits.header_timeout = Millis{80};
  TestServer server(std::move(options));
  RawClient silent(server.port());
  CHECK(silent.closed_within(3000));
  RawClient plain(server.port());
  plain.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(plain.read_to_end(3000).find("HTTP/") == std::string::npos);
}

}  // namespace
}  // namespace es::net
