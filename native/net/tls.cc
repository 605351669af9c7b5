#include "native/net/tls.h"

#include <boost/asio/ssl/context.hpp>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <string_view>
#include <system_error>

namespace es::net {
namespace {

std::string openssl_error() {
  const unsigned long code = ::ERR_get_error();
  ::ERR_clear_error();
  if (code == 0) return "unknown error";
  // A file that cannot be opened; OpenSSL has no words for these.
  if (ERR_SYSTEM_ERROR(code)) return std::generic_category().message(ERR_GET_REASON(code));
  const char* reason = ::ERR_reason_error_string(code);
  return reason != nullptr ? reason : "error " + std::to_string(code);
}

// Wire format of RFC 7301: each name behind its length.
constexpr unsigned char kHttp11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_len, const unsigned char* in,
                unsigned in_len, void*) {
  unsigned char* chosen = nullptr;
  if (::SSL_select_next_proto(&chosen, out_len, kHttp11, sizeof kHttp11, in, in_len) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

Result<std::shared_ptr<boost::asio::ssl::context>, std::string> make_tls_context(
    const TlsFiles& files) {
  namespace ssl = boost::asio::ssl;
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* ctx = context->native_handle();
  ::ERR_clear_error();
  if (::SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) return openssl_error();
  ::SSL_CTX_set_options(
      ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  ::SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  ::SSL_CTX_set_alpn_select_cb(ctx, select_alpn, nullptr);
  if (::SSL_CTX_use_certificate_chain_file(ctx, files.certificate_path.c_str()) != 1) {
    return "tls_cert_path " + files.certificate_path + ": " + openssl_error();
  }
  if (::SSL_CTX_use_PrivateKey_file(ctx, files.key_path.c_str(), SSL_FILETYPE_PEM) != 1) {
    return "tls_key_path " + files.key_path + ": " + openssl_error();
  }
  if (::SSL_CTX_check_private_key(ctx) != 1) {
    return "tls_key_path " + files.key_path +
           " does not belong to tls_cert_path: " + openssl_error();
  }
  return context;
}

}  // namespace es::net
