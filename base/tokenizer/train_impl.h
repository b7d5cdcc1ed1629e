/*
 * train_impl.h - what the files of the trainer share; nobody else includes it.
 *
 *   _words.c   files -> documents -> pieces with counts
 *   _learn.c   pieces with counts -> merges
 *   _write.c   merges -> the folder, and back
 *   train.c runs them
 */
#ifndef LORAC_BASE_TOKENIZER_TRAIN_IMPL_H
#define LORAC_BASE_TOKENIZER_TRAIN_IMPL_H

#include "base/core/file.h"
#include "base/tokenizer/impl.h"
#include "base/tokenizer/train.h"

enum {
    TRAIN_MAX_DISTINCT = 1 << 26, // bytes of all distinct pieces
    TRAIN_MAX_PIECE = 1 << 16,    // bytes of one
};

/* ---- words.c ---- */

/* Each distinct piece and how often it occurs. Zeroed = empty. */
struct lorac_words {
    struct lorac_vocab texts; // ids 0 .. count-1
    uint64_t *count;          // (cap)
    size_t cap;
    size_t pieces; // the sum of all counts
};
void lorac_words_release(struct lorac_words *w);

/* Calls `take` for each piece that `pattern` cuts s[0,n) into: matches and what is between them. */
typedef enum lorac_status lorac_piece_taker(void *who, const char *s, size_t n,
                                            struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_each_piece(const struct lorac_pattern *pattern,
                                                    struct lorac_matcher *m, const char *s,
                                                    size_t n, lorac_piece_taker *take, void *who,
                                                    struct lorac_err *err);

/* Texts that cut a file into documents. */
struct lorac_cuts {
    struct lorac_pattern *at; // literals; owned, with what they own
    size_t n;
};
LORAC_MUST_CHECK enum lorac_status lorac_cuts_init(struct lorac_cuts *cuts,
                                                   const char *const *texts, size_t n,
                                                   const char *separator, struct lorac_err *err);
void lorac_cuts_release(struct lorac_cuts *cuts);

/* Count the pieces of all files of `o`; adds bytes and documents to `report`. */
LORAC_MUST_CHECK enum lorac_status lorac_words_read(struct lorac_words *w,
                                                    struct lorac_tokenizer_report *report,
                                                    const struct lorac_tokenizer_options *o,
                                                    const struct lorac_cuts *cuts,
                                                    const struct lorac_pattern *pattern,
                                                    struct lorac_err *err);

/* ---- learn.c ---- */

struct lorac_learned_merge {
    int32_t a, b, id;
};
struct lorac_pairs { // open addressing, at most half full
    struct lorac_pair *slots;
    size_t n, mask;
};
/* Special tokens and bytes first; lorac_learn() adds the merges. Zeroed = empty. */
struct lorac_learned {
    struct lorac_vocab tokens;
    size_t n_specials;
    int32_t byte_id[256];
    struct lorac_learned_merge *merges;
    size_t n_merges, cap_merges;
    struct lorac_pairs pairs;
};
LORAC_MUST_CHECK enum lorac_status lorac_learned_init(struct lorac_learned *l,
                                                      const char *const *specials,
                                                      size_t n_specials, struct lorac_err *err);
/* Merge until the vocabulary has its size or no pair occurs often enough. `*tokens` written: those
 * that all pieces became. */
LORAC_MUST_CHECK enum lorac_status lorac_learn(struct lorac_learned *l, size_t *tokens,
                                               const struct lorac_words *w,
                                               const struct lorac_tokenizer_options *o,
                                               struct lorac_err *err);
/* One piece as the merges say: the pair of the lowest rank first, the leftmost of equals. The rule
 * itself, n^2 steps: what the tokenizer must agree with. */
LORAC_MUST_CHECK enum lorac_status lorac_learned_encode(struct lorac_ids *ids,
                                                        const struct lorac_learned *l,
                                                        const char *s, size_t n,
                                                        struct lorac_err *err);
void lorac_learned_release(struct lorac_learned *l);

/* ---- write.c ---- */

/* tokenizer.json and tokenizer_config.json into the folder `dir`, which exists. */
LORAC_MUST_CHECK enum lorac_status lorac_tokenizer_write(const char *dir,
                                                         const struct lorac_learned *l,
                                                         const struct lorac_tokenizer_options *o,
                                                         struct lorac_err *err);
/* Open the folder and compare it with what was learned. */
LORAC_MUST_CHECK enum lorac_status lorac_tokenizer_check(const char *dir,
                                                         const struct lorac_learned *l,
                                                         const struct lorac_tokenizer_options *o,
                                                         const struct lorac_pattern *pattern,
                                                         struct lorac_err *err);

#endif
