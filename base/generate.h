/*
 * generate.h - continuing a prompt token by token with a key/value cache.
 *
 * The logits of the last token pass, in this order (as transformers' logits processors do):
 *   repetition penalty -> temperature -> top-k -> top-p -> a draw
 * Draws are a function of (seed, number of the token): the same prompt, seed and options repeat.
 */
#ifndef LORAC_BASE_GENERATE_H
#define LORAC_BASE_GENERATE_H

#include "base/model.h"
#include "base/tokenizer/tokenizer.h"

LORAC_API_BEGIN

struct lorac_sampling {
    size_t max_tokens;  // new tokens at the most
    double temperature; // 0: the likeliest token, always
    size_t top_k;       // 0: all
    double top_p;       // 1: all; the smallest set of tokens whose probability reaches it
    double
        repetition_penalty; // 1: none (Keskar et al. 2019: positive logits / it, negative times it)
    uint64_t seed;
    const char *const *stop; // texts that end generation, not part of the result; "" does nothing
    size_t n_stop;
};
/* Zero is no default: LORAC_EUSER for a temperature, top_p or penalty that draws cannot have. */
LORAC_MUST_CHECK enum lorac_status lorac_sampling_check(const struct lorac_sampling *o,
                                                        struct lorac_err *err);
extern const struct lorac_sampling
    lorac_sampling_defaults; // 128 tokens, greedy: the one to start from

enum lorac_finish {
    LORAC_FINISH_END,     // a token that ends (eos)
    LORAC_FINISH_LENGTH,  // max_tokens
    LORAC_FINISH_STOP,    // a stop text
    LORAC_FINISH_CONTEXT, // no position left in the model
    LORAC_FINISH_CALLER,  // `show` asked to stop
};
const char *lorac_finish_name(enum lorac_finish f); // "end", "length", "stop", "context", "caller"

/* Called after each token with the text that is now certain to belong to the result, n = 0 where
 * there is no more of it (half a character, a special token, what may become a stop text), and at
 * the end; return false to stop, all sequences that go on together. */
typedef bool lorac_show_fn(void *self, const char *text, size_t n);

/* Cache, activations and buffers for some sequences at a time, as many as are asked for where they
 * take little memory, else fewer, one at the least. Borrows model and socket. */
struct lorac_generator;
LORAC_MUST_CHECK enum lorac_status lorac_generator_new(struct lorac_generator **out,
                                                       const struct lorac_model *m,
                                                       const struct lorac_socket *socket, // or NULL
                                                       size_t max_positions, // prompt + new tokens
                                                       size_t sequences,     // >= 1
                                                       struct lorac_err *err);
/* Bytes that such a generator takes. */
LORAC_MUST_CHECK enum lorac_status lorac_generator_measure(size_t *bytes,
                                                           const struct lorac_model *m,
                                                           const struct lorac_socket *socket,
                                                           size_t max_positions, size_t sequences,
                                                           struct lorac_err *err);
void lorac_generator_free(struct lorac_generator *g);
/* Go on with other adapters (NULL: the bare base); the base is not loaded again. */
LORAC_MUST_CHECK enum lorac_status lorac_generator_use(struct lorac_generator *g,
                                                       const struct lorac_socket *socket,
                                                       struct lorac_err *err);

/* From now on keep what lorac_generate() has read, prompt and answer, and read of the next prompt
 * only what does not begin like that: the same answer but for rounding, where neither weights nor
 * adapters have changed meanwhile (lorac_generator_use() forgets all of it). */
void lorac_generator_keep(struct lorac_generator *g);
/* Tokens of the last prompt that did not have to be read again. */
size_t lorac_generator_kept(const struct lorac_generator *g);

/* Continue `prompt` (n >= 1 ids). New ids are appended to `ids` (without the one that ends), their
 * text to `text` (both may not be NULL). A prompt that leaves no position for a new token is
 * LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_generate(
    struct lorac_ids *ids, struct lorac_buf *text, enum lorac_finish *finish,
    struct lorac_generator *g, const struct lorac_tokenizer *t, const int32_t *prompt, size_t n,
    const struct lorac_sampling *o, lorac_show_fn *show, void *self, // may be NULL
    struct lorac_err *err);

/* Several prompts, each with its options and results as above: they go on together, a token of each
 * in one batch, and where one ends the next begins; what all begin with is read once, and so is
 * what some do, while one of them goes on or its place is not taken. Those that are the same in
 * everything but max_tokens go on once. What comes out is what each would be alone. All are checked
 * before the first begins. */
struct lorac_generation {
    const int32_t *prompt; // (n)
    size_t n;
    const struct lorac_sampling *o;
    struct lorac_ids *ids;
    struct lorac_buf *text;
    enum lorac_finish finish; // LORAC_FINISH_CALLER until it has ended
    lorac_show_fn *show;      // or NULL
    void *self;
};
LORAC_MUST_CHECK enum lorac_status lorac_generate_all(struct lorac_generation *at, size_t n,
                                                      struct lorac_generator *g,
                                                      const struct lorac_tokenizer *t,
                                                      struct lorac_err *err);

/* Where the first stop text begins in `text`, `from` or behind it; SIZE_MAX: none does. */
size_t lorac_stop_find(const struct lorac_buf *text, size_t from, const struct lorac_sampling *o);
/* Bytes at the end of `text`, behind `from`, that may be the beginning of one: not certain yet. */
size_t lorac_stop_begun(const struct lorac_buf *text, size_t from, const struct lorac_sampling *o);

/* The id drawn from `logits` (V), which are clobbered; `seen` (n) are the ids that the penalty
 * counts. `order` (V) is scratch. */
int32_t lorac_sample(float *logits, uint32_t *order, size_t V, const int32_t *seen, size_t n,
                     const struct lorac_sampling *o, uint64_t draw);

LORAC_API_END

#endif
