/*
 * ask.h - a request for completions: OpenAI's JSON -> a call of the engine -> OpenAI's JSON, whole
 * or as server-sent events.
 *
 * Two hold an ask: the connection that it came by, and, once it is submitted, the engine; it goes
 * with the last of them. What is to be sent the engine's thread writes (a stream) or the
 * connection's (an answer, once all is there).
 */
#ifndef LORAC_TOOLS_SERVE_ASK_H
#define LORAC_TOOLS_SERVE_ASK_H

#include "tools/serve/engine.h"
#include <jansson.h>

/* All that requests share; read-only while the server runs. */
struct service {
    const struct lorac_model *model;
    const struct lorac_tokenizer *tokenizer;
    struct talk talk; // with the base
    const char *name; // of the base, to be asked for
    struct adapters adapters;
    struct engine *engine;
    int64_t started;
};

enum { ASK_MOST_CHOICES = 128, ASK_MOST_PROMPTS = 128, ASK_MOST_STOPS = 16 };

enum ask_kind { ASK_COMPLETION, ASK_CHAT, ASK_LABELS };

struct ask {
    struct service *s;
    json_t *root; // the request while it is read; then its "stop", whose texts are borrowed
    bool chat, stream, usage, echo;
    const struct lorac_saved *saved; // of its adapter: its labels are rated, a choice each; or NULL
    size_t n_prompt;                 // tokens before them
    char id[48];
    int64_t created;
    char model[ADAPTERS_MAX_NAME + 1];
    size_t samples; // of each prompt
    const char *stops[ASK_MOST_STOPS];
    struct lorac_buf *prompts; // texts (call.n / samples) where they are echoed
    struct call call;

    pthread_mutex_t lock; // of what follows
    struct lorac_buf out; // what is sent
    size_t sent;
    size_t *text_told, *tokens_told; // (call.n) of each choice, for a stream
    bool *began;                     // (call.n)
    bool answers; // there is something to send, or a failure: a status can be told
    bool done;    // the engine has ended with it
    unsigned holders;
    void (*wake)(void *self); // with the lock: something has changed; NULL: nobody waits
    void *self;
};

/* Who is asked for: *r leased, or NULL: the base. false: there is nobody of this name. */
bool ask_who(struct resident **r, struct service *s, const char *name, struct fault *f);
const struct talk *ask_talk(const struct service *s, const struct resident *r);
/* Read a body; NULL and a fault where it can't be answered. */
struct ask *ask_read(struct service *s, enum ask_kind kind, const char *body, size_t n,
                     struct fault *f);
/* Hand it to the engine; false: the queue is full, or the server is ending. */
bool ask_submit(struct ask *a, struct fault *f);
/* The connection has no more use for it: what runs of it ends. */
void ask_leave(struct ask *a);
/* Why it failed, where nothing was sent yet; with the lock. */
bool ask_failed(struct fault *f, const struct ask *a);
/* The answer that is whole (done, no stream), as JSON. */
void ask_answer(struct lorac_buf *b, const struct ask *a);
/* What is new in a choice as events of a stream, and what a stream ends with; with the lock. */
void ask_stream(struct ask *a, struct choice *c);
void ask_ended(struct ask *a);

/* POST /tokenize and /detokenize. */
bool ask_tokenize(struct lorac_buf *out, struct service *s, const char *body, size_t n,
                  struct fault *f);
bool ask_detokenize(struct lorac_buf *out, struct service *s, const char *body, size_t n,
                    struct fault *f);

/* Choices for so many prompts, all with these options. */
bool ask_choices(struct ask *a, size_t prompts, const struct lorac_sampling *o, struct fault *f);
/* POST /classify (classify.c): what is to be rated of the request, and the answer to it. */
bool ask_labels(struct ask *a, struct fault *f);
void ask_write_labels(struct lorac_buf *b, const struct ask *a);
/* {"id", "object", "created", "model" of an answer, and its "usage". */
void ask_write_head(struct lorac_buf *out, const struct ask *a, const char *object);

/* ---- fields of a JSON object, each absent (or null) or in its range; false: a fault that names it
 * ---- */

json_t *field_root(const char *body, size_t n, struct fault *f); // an object; the caller's
bool field_size(size_t *out, const json_t *o, const char *key, size_t min, size_t max,
                struct fault *f);
bool field_real(double *out, const json_t *o, const char *key, double min, double max,
                struct fault *f);
bool field_bool(bool *out, const json_t *o, const char *key, struct fault *f);
/* Borrowed; a text with a NUL byte is refused. */
bool field_text(const char **out, const json_t *o, const char *key, bool required, struct fault *f);

/* Is it there, and something else than what does nothing? */
bool field_asks(const json_t *o, const char *key);

/* ---- prompts as ids, appended (prompt.c) ---- */

bool prompt_encode(struct lorac_ids *ids, struct service *s, const char *text, size_t n,
                   bool special, const char *param, struct fault *f);
bool prompt_ids(struct lorac_ids *ids, const struct service *s, const json_t *list,
                const char *param, struct fault *f);
/* Of an object's "messages", up to where the answer begins, as `talk` has them. */
bool prompt_chat(struct lorac_ids *ids, const struct talk *talk, const json_t *root,
                 struct fault *f);

#endif
