/*
 * The binary protocol of memcached for programs in C and C++: numbers, and a union for each message as it lies on the wire.
 *
 * A message is a header of 24 bytes, then extras, key and value. A union holds header and extras: as fields, in `message`, and
 * as `bytes`, to be read or written. All numbers of several bytes are big-endian there; `bodylen` counts what is behind the
 * header. What each command does is described in doc/protocol.txt of the server's sources.
 */
#ifndef MEMCACHED_PROTOCOL_BINARY_H
#define MEMCACHED_PROTOCOL_BINARY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The first byte of a message. */
typedef enum {
    PROTOCOL_BINARY_REQ = 0x80,
    PROTOCOL_BINARY_RES = 0x81
} protocol_binary_magic;

typedef enum {
    PROTOCOL_BINARY_RESPONSE_SUCCESS = 0x00,
    PROTOCOL_BINARY_RESPONSE_KEY_ENOENT = 0x01,      /* there is no such key */
    PROTOCOL_BINARY_RESPONSE_KEY_EEXISTS = 0x02,     /* there is one, or one with another cas */
    PROTOCOL_BINARY_RESPONSE_E2BIG = 0x03,           /* the item is too large */
    PROTOCOL_BINARY_RESPONSE_EINVAL = 0x04,          /* the request has a wrong shape */
    PROTOCOL_BINARY_RESPONSE_NOT_STORED = 0x05,      /* append and prepend: nothing to join to, or no room */
    PROTOCOL_BINARY_RESPONSE_DELTA_BADVAL = 0x06,    /* increment and decrement: the value is no number */
    PROTOCOL_BINARY_RESPONSE_AUTH_ERROR = 0x20,      /* not allowed, or not logged in */
    PROTOCOL_BINARY_RESPONSE_AUTH_CONTINUE = 0x21,   /* SASL wants another step */
    PROTOCOL_BINARY_RESPONSE_UNKNOWN_COMMAND = 0x81,
    PROTOCOL_BINARY_RESPONSE_ENOMEM = 0x82
} protocol_binary_response_status;

/* Names in Q are quiet: what is expected is not answered. */
typedef enum {
    PROTOCOL_BINARY_CMD_GET = 0x00,
    PROTOCOL_BINARY_CMD_SET = 0x01,
    PROTOCOL_BINARY_CMD_ADD = 0x02,
    PROTOCOL_BINARY_CMD_REPLACE = 0x03,
    PROTOCOL_BINARY_CMD_DELETE = 0x04,
    PROTOCOL_BINARY_CMD_INCREMENT = 0x05,
    PROTOCOL_BINARY_CMD_DECREMENT = 0x06,
    PROTOCOL_BINARY_CMD_QUIT = 0x07,
    PROTOCOL_BINARY_CMD_FLUSH = 0x08,
    PROTOCOL_BINARY_CMD_GETQ = 0x09,
    PROTOCOL_BINARY_CMD_NOOP = 0x0a,
    PROTOCOL_BINARY_CMD_VERSION = 0x0b,
    PROTOCOL_BINARY_CMD_GETK = 0x0c,
    PROTOCOL_BINARY_CMD_GETKQ = 0x0d,
    PROTOCOL_BINARY_CMD_APPEND = 0x0e,
    PROTOCOL_BINARY_CMD_PREPEND = 0x0f,
    PROTOCOL_BINARY_CMD_STAT = 0x10,
    PROTOCOL_BINARY_CMD_SETQ = 0x11,
    PROTOCOL_BINARY_CMD_ADDQ = 0x12,
    PROTOCOL_BINARY_CMD_REPLACEQ = 0x13,
    PROTOCOL_BINARY_CMD_DELETEQ = 0x14,
    PROTOCOL_BINARY_CMD_INCREMENTQ = 0x15,
    PROTOCOL_BINARY_CMD_DECREMENTQ = 0x16,
    PROTOCOL_BINARY_CMD_QUITQ = 0x17,
    PROTOCOL_BINARY_CMD_FLUSHQ = 0x18,
    PROTOCOL_BINARY_CMD_APPENDQ = 0x19,
    PROTOCOL_BINARY_CMD_PREPENDQ = 0x1a,
    PROTOCOL_BINARY_CMD_TOUCH = 0x1c,
    PROTOCOL_BINARY_CMD_GAT = 0x1d,
    PROTOCOL_BINARY_CMD_GATQ = 0x1e,
    PROTOCOL_BINARY_CMD_SASL_LIST_MECHS = 0x20,
    PROTOCOL_BINARY_CMD_SASL_AUTH = 0x21,
    PROTOCOL_BINARY_CMD_SASL_STEP = 0x22,
    PROTOCOL_BINARY_CMD_GATK = 0x23,
    PROTOCOL_BINARY_CMD_GATKQ = 0x24
} protocol_binary_command;

typedef enum {
    PROTOCOL_BINARY_RAW_BYTES = 0x00
} protocol_binary_datatypes;

/* Nothing lies between fields, and unions begin at any address. */
#pragma pack(push, 1)

typedef union {
    struct {
        uint8_t magic;
        uint8_t opcode;
        uint16_t keylen;
        uint8_t extlen;
        uint8_t datatype;
        uint16_t reserved;
        uint32_t bodylen;
        uint32_t opaque;
        uint64_t cas;
    } request;
    uint8_t bytes[24];
} protocol_binary_request_header;

typedef union {
    struct {
        uint8_t magic;
        uint8_t opcode;
        uint16_t keylen;
        uint8_t extlen;
        uint8_t datatype;
        uint16_t status;
        uint32_t bodylen;
        uint32_t opaque;
        uint64_t cas;
    } response;
    uint8_t bytes[24];
} protocol_binary_response_header;

/* A message that is a header, and one that has extras, of so many bytes. */
#define MEMCACHED_HEADER_ONLY(name, kind) \
    typedef union { \
        struct { protocol_binary_##kind##_header header; } message; \
        uint8_t bytes[24]; \
    } protocol_binary_##kind##_##name;
#define MEMCACHED_WITH_EXTRAS(name, kind, size, fields) \
    typedef union { \
        struct { protocol_binary_##kind##_header header; struct { fields } body; } message; \
        uint8_t bytes[24 + size]; \
    } protocol_binary_##kind##_##name;

/* How the requests of a group look, and what they are answered with. */
#define MEMCACHED_PLAIN(name) MEMCACHED_HEADER_ONLY(name, request) MEMCACHED_HEADER_ONLY(name, response)
#define MEMCACHED_FETCH(name) \
    MEMCACHED_HEADER_ONLY(name, request) \
    MEMCACHED_WITH_EXTRAS(name, response, 4, uint32_t flags;)
#define MEMCACHED_STORE(name) \
    MEMCACHED_WITH_EXTRAS(name, request, 8, uint32_t flags; uint32_t expiration;) \
    MEMCACHED_HEADER_ONLY(name, response)
/* The number that is answered is the value, not extras. */
#define MEMCACHED_COUNT(name) \
    MEMCACHED_WITH_EXTRAS(name, request, 20, uint64_t delta; uint64_t initial; uint32_t expiration;) \
    MEMCACHED_WITH_EXTRAS(name, response, 8, uint64_t value;)
#define MEMCACHED_TOUCH(name) \
    MEMCACHED_WITH_EXTRAS(name, request, 4, uint32_t expiration;) \
    MEMCACHED_WITH_EXTRAS(name, response, 4, uint32_t flags;)
/* The extras of flush may be left out. */
#define MEMCACHED_FLUSH(name) \
    MEMCACHED_WITH_EXTRAS(name, request, 4, uint32_t expiration;) \
    MEMCACHED_HEADER_ONLY(name, response)

MEMCACHED_FETCH(get)
MEMCACHED_FETCH(getq)
MEMCACHED_FETCH(getk)
MEMCACHED_FETCH(getkq)
MEMCACHED_STORE(set)
MEMCACHED_STORE(setq)
MEMCACHED_STORE(add)
MEMCACHED_STORE(addq)
MEMCACHED_STORE(replace)
MEMCACHED_STORE(replaceq)
MEMCACHED_PLAIN(append)
MEMCACHED_PLAIN(appendq)
MEMCACHED_PLAIN(prepend)
MEMCACHED_PLAIN(prependq)
MEMCACHED_PLAIN(delete)
MEMCACHED_PLAIN(deleteq)
MEMCACHED_COUNT(incr)
MEMCACHED_COUNT(incrq)
MEMCACHED_COUNT(decr)
MEMCACHED_COUNT(decrq)
MEMCACHED_TOUCH(touch)
MEMCACHED_TOUCH(gat)
MEMCACHED_TOUCH(gatq)
MEMCACHED_TOUCH(gatk)
MEMCACHED_TOUCH(gatkq)
MEMCACHED_FLUSH(flush)
MEMCACHED_FLUSH(flushq)
MEMCACHED_PLAIN(noop)
MEMCACHED_PLAIN(quit)
MEMCACHED_PLAIN(quitq)
MEMCACHED_PLAIN(version)
MEMCACHED_PLAIN(stat)
MEMCACHED_PLAIN(stats)
MEMCACHED_PLAIN(sasl_list_mechs)
MEMCACHED_PLAIN(sasl_auth)
MEMCACHED_PLAIN(sasl_step)

#undef MEMCACHED_HEADER_ONLY
#undef MEMCACHED_WITH_EXTRAS
#undef MEMCACHED_PLAIN
#undef MEMCACHED_FETCH
#undef MEMCACHED_STORE
#undef MEMCACHED_COUNT
#undef MEMCACHED_TOUCH
#undef MEMCACHED_FLUSH

#pragma pack(pop)

#ifdef __cplusplus
}
#endif

#endif
