/*
 * adapters.h - which adapters the server answers with, by name; they come and go while it runs.
 *
 * A name stands for a resident: a loaded adapter, known by its content and its templates, so that
 * two names of equal adapters share one. A request leases its resident to its end: unloading, or
 * loading something else under the name, takes the name away, and the resident goes with its last
 * lease.
 *
 * All functions may be called from any thread.
 */
#ifndef LORAC_TOOLS_SERVE_ADAPTERS_H
#define LORAC_TOOLS_SERVE_ADAPTERS_H

#include "tools/serve/fault.h"
#include "tools/verbs.h"
#include <pthread.h>

enum { ADAPTERS_MAX_NAME = 128 };

/* How chats with somebody are written. */
struct talk {
    struct form form;
    bool own;      // by the chat template that the adapter brings, not the base's
    char why[256]; // there are none, where form.chat is NULL
};
/* Of an adapter, or the base (NULL). Fails where memory is short, or a file cannot be read. */
LORAC_MUST_CHECK enum lorac_status talk_open(struct talk *t, const struct lorac_model *m,
                                             const struct lorac_tokenizer *tokenizer,
                                             const struct lorac_adapter *a, struct lorac_err *err);

struct resident {
    struct resident *next;
    struct lorac_adapter *adapter;
    struct talk talk;
    struct lorac_saved *saved; // what it was trained with, or NULL
    char content[65];          // of what it computes
    size_t names, leases;
    // the engine's own
    int32_t slot;    // segment.adapter of its rows; 0: none yet
    uint64_t served; // when a request of it was let in last
};

struct adapter_name {
    struct adapter_name *next; // in the order of their loading
    char name[ADAPTERS_MAX_NAME + 1];
    char *path; // as given
    struct resident *is;
    int64_t created;
};

struct adapters {
    pthread_mutex_t lock; // of all below
    struct adapter_name *names;
    struct resident *residents;
    size_t n_residents, most;
    const struct lorac_model *model; // borrowed
    const struct lorac_tokenizer *tokenizer;
    char *root; // where requests may load from, its real path; NULL: nowhere
    bool force;
};

void adapters_open(struct adapters *a, const struct lorac_model *m, const struct lorac_tokenizer *t,
                   size_t most, bool force);
/* Requests may load what lies below this folder. */
enum lorac_status adapters_set_root(struct adapters *a, const char *dir, struct lorac_err *err);
void adapters_close(struct adapters *a);

bool adapters_is_name(const char *name); // [A-Za-z0-9._-]{1,128}, neither "." nor ".."
/* Load the folder `dir` under a name; one that is taken is a fault unless `replace`. */
bool adapters_load(struct adapters *a, const char *name, const char *dir, bool replace,
                   struct fault *f);
/* The same for a request: `path`, from the root on or from "/", must lead below the root. */
bool adapters_load_below(struct adapters *a, const char *name, const char *path, bool replace,
                         struct fault *f);
bool adapters_unload(struct adapters *a, const char *name, struct fault *f);

/* The resident of a name, leased; NULL: there is no such name. */
struct resident *adapters_lease(struct adapters *a, const char *name);
void adapters_release(struct adapters *a, struct resident *r); // NULL is accepted
/* For the engine, between two steps: `drop` hears of each resident that nobody can ask for any
 * more, before it goes. */
void adapters_sweep(struct adapters *a, void (*drop)(void *self, struct resident *r), void *self);

#endif
