/*
 * server.h - HTTP around the engine: connections, what is let in, routes.
 *
 * libmicrohttpd runs one thread of its own for all connections. A request that the engine answers
 * is suspended until there is something to send; whoever calls server_watch() looks after those
 * that take too long, or have gone.
 *
 *   http.c      connections, requests, responses
 *   guard.c     what is refused before anything is read: Host, Origin, key, sizes, types
 *   routes.c    what a path answers
 */
#ifndef LORAC_TOOLS_SERVE_SERVER_H
#define LORAC_TOOLS_SERVE_SERVER_H

#include "tools/serve/ask.h"
#include <microhttpd.h>

enum {
    SERVER_MOST_KEYS = 64,
    SERVER_MOST_HOSTS = 16,
    SERVER_MAX_HEADER = 16 << 10, // bytes of a request's headers
    SERVER_READ_SECONDS = 60,     // for a whole request to come
};

struct server_options {
    const char *host;         // an address of this machine
    uint16_t port;            // 0: one that is free
    const char *const *hosts; // (n_hosts) names that a request may call this machine by
    size_t n_hosts;
    const char *const *origins; // (n_origins) of pages elsewhere that may ask
    size_t n_origins;
    char *keys[SERVER_MOST_KEYS]; // borrowed: one of these must be told; none: nothing need be
    size_t n_keys;
    size_t max_body, max_connections;
};

/* A connection. */
struct exchange;
struct peer {
    struct peer *next;
    struct server *of;
    int fd;
    double since;       // when it began to be idle
    bool busy;          // a whole request has come, and its answer has not gone
    struct exchange *x; // its request
};

struct server {
    struct service *s;
    struct server_options o;
    struct MHD_Daemon *daemon;
    struct lorac_buf tokenizer_info; // JSON
    pthread_mutex_t lock;            // of the peers
    struct peer *peers;
    size_t n_peers;
    bool ends; // requests that come get 503
};

/* A request and what is answered. */
struct exchange {
    struct server *of;
    struct peer *peer;
    struct MHD_Connection *c;
    const struct route *route;
    char path[512]; // with single slashes
    struct lorac_buf body;
    size_t length; // of what has come
    bool begun;    // its headers have been looked at
    struct ask *ask;
    bool suspended;   // with the ask's lock
    int status;       // what is answered: 200 unless said
    const char *type; // application/json unless said
    struct lorac_buf out;
};

/* What a path does. */
struct route {
    const char *method, *path; // a path that ends with '*' goes on
    bool open;                 // without a key
    /* Fill x->out, or a fault; completions call exchange_ask(). */
    bool (*run)(struct exchange *x, struct fault *f);
};
/* NULL: a fault, and where another method would do, `allow` says which. */
const struct route *route_find(const char **allow, const char *method, const char *path,
                               struct fault *f);

/* Its headers: may it go on? */
bool guard_check(struct exchange *x, const char *method, struct fault *f);
/* The engine is to answer it: server_watch() looks after it from now on. */
void exchange_ask(struct exchange *x, struct ask *a);
/* The Origin that an answer may be shown to, or NULL. */
const char *guard_origin(const struct exchange *x);

LORAC_MUST_CHECK enum lorac_status server_start(struct server *v, struct service *s,
                                                const struct server_options *o,
                                                struct lorac_err *err);
uint16_t server_port(const struct server *v);
/* Once in a while: close connections that don't bring their request, end what nobody waits for. */
void server_watch(struct server *v);
void server_quiesce(struct server *v); // no more connections, and no requests on those there are
bool server_busy(struct server *v);
void server_stop(struct server *v);

/* Files of the web page, part of the program (tools/serve/page/); path NULL after the last. */
struct page {
    const char *path, *type;
    const unsigned char *bytes;
    size_t n;
};
extern const struct page pages[];

#endif
