/*
 * engine.h - one thread that answers all requests: each step is one batch of a token of every
 * answer that goes on and of pieces of the prompts that are new, whatever adapters they have.
 *
 *   call      a request: choices with one adapter (prompts x samples), its own or the bare base
 *   choice    one answer: prompt -> tokens; it waits, runs, ends
 *
 * A choice that runs has rows in the cache (rows.h). What its prompt has in common with what the
 * same adapter read before is not read again; a prompt whose beginning is being read waits for it.
 * Where rows run out the youngest choice gives its own back and waits again, without losing a word.
 *
 * Fairness: of those that wait the next is one whose adapter has the fewest running choices, among
 * these of the adapter whose turn was longest ago, and of its own the eldest. A step is for the one
 * that had none for longest: adapters with full copies, which have batches of their own, take turns
 * with all others together.
 */
#ifndef LORAC_TOOLS_SERVE_ENGINE_H
#define LORAC_TOOLS_SERVE_ENGINE_H

#include "tools/serve/adapters.h"
#include "tools/serve/rows.h"
#include <stdatomic.h>

enum { ENGINE_MOST_TOP = 20 };

/* One token of a choice, with what it was rated. */
struct token {
    int32_t id;
    double logprob;               // of the model's own distribution; NAN: the first of a prompt
    size_t at;                    // bytes of the text before it
    int32_t top[ENGINE_MOST_TOP]; // (call.top) the likeliest, the first first
    float top_logprob[ENGINE_MOST_TOP];
    uint8_t n_top;
};

enum choice_state { CHOICE_WAITS, CHOICE_RUNS, CHOICE_ENDED };

struct call;
struct choice {
    struct call *call;
    struct choice *next; // of those that wait or run
    size_t n_prompt;
    struct lorac_sampling o;
    // written by the engine, to be read in `tell`, or once the call has ended
    struct lorac_ids seen; // prompt and answer
    struct lorac_buf text; // of the answer
    size_t certain;        // bytes of it that nothing changes any more
    struct token *token;   // rated ones: of the prompt where it is scored, and of the answer
    size_t n_tokens, cap_tokens;
    size_t drawn;
    enum lorac_finish finish;
    // the engine's own
    enum choice_state state;
    struct lorac_stream stream;
    struct piece *piece; // its last rows
    size_t fed;          // tokens of `seen` that are in the cache
    uint64_t order;      // of its arrival
    uint64_t stepped;    // the step that it was last in
    size_t rows, u;      // in this step: its rows, and the first of its logits
};

struct call {
    struct resident *adapter; // leased by whoever submits; NULL: the bare base
    struct choice *choice;    // (n)
    size_t n;
    int top;          // alternatives that tokens come with; -1: they aren't rated
    bool scores;      // the prompt's tokens are rated, too,
    size_t from;      // from this one on
    atomic_bool gone; // nobody waits for it any more
    /* From the engine's thread: after each token of a choice, with NULL at the end of the call, the
     * last that the engine does with it. */
    void (*tell)(void *self, struct choice *c);
    void *self;
    size_t ended;
    struct lorac_err err; // why it failed; code LORAC_OK: it didn't
    double begun, first;  // lorac_clock(): when it came, its first token
};

struct engine_options {
    size_t cache_bytes; // of keys and values
    size_t max_running, max_waiting;
    size_t max_length; // of prompt and answer; 0: what the model reads and the cache holds
};

/* Sums since the start, and what is now. */
struct engine_stats {
    size_t running, waiting, rows, rows_used, rows_filled;
    uint64_t calls, failed, gone, prompt_tokens, shared_tokens, answer_tokens, steps, step_rows;
    uint64_t preempted;
    double first_sum, whole_sum; // seconds to the first token, and to the end
    uint64_t first_n, whole_n;
    uint64_t first_bucket[16], whole_bucket[16];
};
extern const double engine_buckets[]; // upper bounds (s); 0 ends

struct engine;
LORAC_MUST_CHECK enum lorac_status engine_open(struct engine **out, const struct lorac_model *m,
                                               const struct lorac_tokenizer *t, struct adapters *a,
                                               const struct engine_options *o,
                                               struct lorac_err *err);
size_t engine_length(const struct engine *e); // most tokens of prompt and answer
size_t engine_queue(const struct engine *e);  // most choices that wait
LORAC_MUST_CHECK enum lorac_status engine_start(struct engine *e, struct lorac_err *err);
/* Unless taken, the call is the caller's still. Prompts are checked by then. */
enum engine_takes { ENGINE_TAKES, ENGINE_IS_FULL, ENGINE_IS_ENDING };
enum engine_takes engine_submit(struct engine *e, struct call *c);
void engine_stats(struct engine_stats *out, struct engine *e);
/* Look again at what has gone: a connection, an adapter. */
void engine_wake(struct engine *e);
/* Answer what is there, then end the thread; nothing is submitted any more. `now`: what is there
 * fails. May be called again. */
void engine_stop(struct engine *e, bool now);
bool engine_ended(struct engine *e); // its thread has nothing more to do
void engine_join(struct engine *e);  // after engine_stop()
void engine_free(struct engine *e);

#endif
