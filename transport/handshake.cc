#include "transport/handshake.h"

#include <algorithm>
#include <utility>

#include "core/crypto/mac.h"

namespace mobula::transport {
namespace {

constexpr std::uint32_t kMagic = 0x616c'624d;  // "Mbla".
constexpr std::size_t kHelloBytes = 4 + 2 + 2 + 32;
constexpr std::size_t kHeaderBytes = 4 + 2 + 2;  // Magic, version or verdict, length of the body.
constexpr std::size_t kMacBytes = 32;
constexpr std::size_t kIdentityBytesMin = base::WorkerId::kBytes + 8 + 1;
constexpr std::size_t kBodyBytesMax = kIdentityBytesMin + kNameBytesMax + sizeof(Nonce) + kMacBytes;
static_assert(kHelloBytes + 2 * (kHeaderBytes + kBodyBytesMax) <= kHandshakeBytesMax);

constexpr std::uint16_t kWelcome = 1;
constexpr std::uint16_t kRefused = 2;

constexpr char kClientLabel[] = "mobula handshake client";
constexpr char kServerLabel[] = "mobula handshake server";

base::Error invalid(std::string what) { return {base::Code::kInvalid, std::move(what)}; }

std::string text(VersionRange v) {
  if (v.oldest == v.newest) return std::to_string(v.oldest);
  return std::to_string(v.oldest) + " to " + std::to_string(v.newest);
}

base::Error version_mismatch(const std::string& theirs, VersionRange ours) {
  return invalid("the peer speaks wire version " + theirs + ", this process " + text(ours) +
                 ": both must run builds of Mobula that share one");
}

void put_identity(base::Buffer& out, const PeerIdentity& who) {
  const std::size_t n = std::min(who.name.size(), kNameBytesMax);
  out.append(who.id.words.data(), base::WorkerId::kBytes);
  out.put(who.incarnation);
  out.put(static_cast<std::uint8_t>(n));
  out.append(who.name.data(), n);
}

PeerIdentity get_identity(base::Cursor& in) {
  PeerIdentity who;
  const ConstBytes id = in.take(base::WorkerId::kBytes);
  if (in.ok()) who.id = base::WorkerId::from_bytes(id.data());
  who.incarnation = in.get<std::uint64_t>();
  const auto n = in.get<std::uint8_t>();
  if (n > kNameBytesMax) in.fail();
  who.name = std::string(base::as_string_view(in.take(n)));
  return who;
}

}  // namespace

Handshake::Handshake(const Options& options, const Credentials& credentials)
    : options_(options),
      credentials_(credentials),
      auth_key_(crypto::hkdf_sha256(credentials.key, {}, "mobula handshake", {})),
      step_(options.role == Role::kClient ? Step::kHello : Step::kHeader),
      need_(options.role == Role::kClient ? kHelloBytes : kHeaderBytes) {}

Handshake::~Handshake() {
  crypto::wipe(auth_key_);
  crypto::wipe(keys_.send);
  crypto::wipe(keys_.receive);
}

void Handshake::start(base::Buffer& out) {
  if (options_.role == Role::kClient) return;
  base::Buffer hello;
  hello.put(kMagic);
  hello.put(options_.versions.oldest);
  hello.put(options_.versions.newest);
  hello.append(options_.nonce);
  say(out, hello.view());
}

Result<void> Handshake::feed(ConstBytes in, base::Buffer& out) {
  while (!in.empty() && !finished_) {
    const std::size_t n = std::min(in.size(), need_ - have_);
    std::memcpy(in_.data() + have_, in.data(), n);
    have_ += n;
    in = in.subspan(n);
    if (have_ < need_) break;
    if (Result<void> taken = take(out); !taken.ok()) return taken;
  }
  return {};
}

Result<void> Handshake::take(base::Buffer& out) {
  std::uint32_t magic = 0;
  std::memcpy(&magic, in_.data(), sizeof magic);
  if (magic != kMagic) return invalid("the peer does not speak Mobula's protocol");
  switch (step_) {
    case Step::kHello: return take_hello(out);
    case Step::kHeader: return take_header(out);
    case Step::kBody: return take_body(out);
  }
  return {};
}

// Only a client takes one: it picks the newest version that both speak and proves itself.
Result<void> Handshake::take_hello(base::Buffer& out) {
  base::Cursor in({in_.data(), need_});
  in.get<std::uint32_t>();
  const VersionRange theirs{in.get<std::uint16_t>(), in.get<std::uint16_t>()};
  std::memcpy(peer_nonce_.data(), in.at(), sizeof(Nonce));
  transcript_.append(in_.data(), need_);

  version_ = std::min(theirs.newest, options_.versions.newest);
  const bool common = version_ >= theirs.oldest && version_ >= options_.versions.oldest;
  base::Buffer reply;
  reply.put(kMagic);
  if (!common) {  // Says its version, so that the server's log can name both too.
    reply.put(options_.versions.newest);
    reply.put(std::uint16_t{0});
    say(out, reply.view());
    return version_mismatch(text(theirs), options_.versions);
  }
  base::Buffer body;
  put_identity(body, credentials_.self);
  body.append(options_.nonce);
  reply.put(version_);
  reply.put(static_cast<std::uint16_t>(body.size() + kMacBytes));
  reply.append(body.view());
  prove(reply, kClientLabel);
  say(out, reply.view());
  expect(Step::kHeader, kHeaderBytes);
  return {};
}

Result<void> Handshake::take_header(base::Buffer& out) {
  base::Cursor in({in_.data(), need_});
  in.get<std::uint32_t>();
  const auto word = in.get<std::uint16_t>();
  const std::size_t body = in.get<std::uint16_t>();
  if (options_.role == Role::kServer) {
    const VersionRange ours = options_.versions;
    if (word < ours.oldest || word > ours.newest) return version_mismatch(std::to_string(word), ours);
    version_ = word;
  } else if (word == kRefused) {
    return base::Error{base::Code::kDenied,
                       "the peer refused this process: it holds another secret, or none of this cluster"};
  } else if (word != kWelcome) {
    return invalid("the peer answered the handshake with the unknown verdict " + std::to_string(word));
  }
  const std::size_t nonce = options_.role == Role::kServer ? sizeof(Nonce) : 0;
  if (body < kIdentityBytesMin + nonce + kMacBytes || body > kBodyBytesMax) {
    static_cast<void>(out);
    return invalid("a handshake message of " + std::to_string(body) + " bytes cannot be right");
  }
  step_ = Step::kBody;  // The body is gathered behind its header, which the MAC covers.
  need_ = kHeaderBytes + body;
  return {};
}

Result<void> Handshake::take_body(base::Buffer& out) {
  const ConstBytes message{in_.data(), need_ - kMacBytes};
  const ConstBytes proof{in_.data() + need_ - kMacBytes, kMacBytes};
  const bool server = options_.role == Role::kServer;
  if (!crypto::equal_in_constant_time(proof, mac(server ? kClientLabel : kServerLabel, message))) {
    if (server) return refuse(out);
    return base::Error{base::Code::kDenied, "the server did not prove that it holds this cluster's secret"};
  }
  base::Cursor in(message.subspan(kHeaderBytes));
  peer_ = get_identity(in);
  if (server) {
    const ConstBytes nonce = in.take(sizeof(Nonce));
    if (in.ok()) std::memcpy(peer_nonce_.data(), nonce.data(), nonce.size());
  }
  if (!in.ok() || in.left() != 0) return invalid("a handshake message does not hold one identity");
  transcript_.append(in_.data(), need_);
  if (server) {
    base::Buffer body;
    put_identity(body, credentials_.self);
    base::Buffer reply;
    reply.put(kMagic);
    reply.put(kWelcome);
    reply.put(static_cast<std::uint16_t>(body.size() + kMacBytes));
    reply.append(body.view());
    prove(reply, kServerLabel);
    say(out, reply.view());
  }
  make_keys();
  finished_ = true;
  return {};
}

Result<void> Handshake::refuse(base::Buffer& out) {
  out.put(kMagic);
  out.put(kRefused);
  out.put(std::uint16_t{0});
  return base::Error{base::Code::kDenied, "a peer did not prove that it holds this cluster's secret"};
}

void Handshake::say(base::Buffer& out, ConstBytes message) {
  transcript_.append(message);
  out.append(message);
}

void Handshake::prove(base::Buffer& message, const char* label) const { message.append(mac(label, message.view())); }

Key Handshake::mac(const char* label, ConstBytes end) const {
  return crypto::hmac_sha256(auth_key_, label, transcript_.view(), end);
}

void Handshake::make_keys() {
  const bool client = options_.role == Role::kClient;
  base::Buffer salt;
  salt.append(client ? options_.nonce : peer_nonce_);
  salt.append(client ? peer_nonce_ : options_.nonce);
  const Key hash = crypto::sha256(transcript_.view());
  const Key up = crypto::hkdf_sha256(credentials_.key, salt.view(), "mobula client to server", hash);
  const Key down = crypto::hkdf_sha256(credentials_.key, salt.view(), "mobula server to client", hash);
  keys_ = client ? DirectionKeys{up, down} : DirectionKeys{down, up};
}

void Handshake::expect(Step step, std::size_t bytes) {
  step_ = step;
  need_ = bytes;
  have_ = 0;
}

}  // namespace mobula::transport
