/*
 * train.h - a byte-level BPE tokenizer learned from text files (Sennrich et al. 2016, on
 * bytes as in GPT-2), written as a folder that lorac_tokenizer_open() and transformers read.
 *
 *   text files --special tokens and the separator cut--> documents
 *   documents  --the pattern cuts--> pieces, counted
 *   pieces as bytes --the neighbours with the highest count merge, again and again--> merges
 *
 * Ids: the special tokens as given, the 256 bytes in the order of their characters, the merges as
 * learned.
 *
 * The reference is BpeTrainer of tokenizers 0.23, given the same documents: of pairs with equal
 * counts the one with the smaller ids merges. Deliberate differences: a whole file is a document
 * (there each line is one, so that no piece goes across a line's end), special tokens in the text
 * are not trained on, and a pair whose token would have more than 4096 bytes does not merge.
 *
 * The files are mapped, not copied. Memory grows with the distinct pieces, of which 64 MiB are
 * accepted: about 60 bytes for each of their bytes at the most (10 MB of prose have 1 MB of them).
 */
#ifndef LORAC_BASE_TOKENIZER_TRAIN_H
#define LORAC_BASE_TOKENIZER_TRAIN_H

#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>

LORAC_API_BEGIN

/* What to learn from and what to write. All texts are borrowed. */
struct lorac_tokenizer_options {
    const char *const *files; // UTF-8
    size_t n_files;
    const char *const *specials; // become special tokens with ids 0, 1, ...
    size_t n_specials;
    const char *bos, *eos,
        *pad; // NULL: none. Special tokens, too: behind `specials` where not among them
    const char *separator; // NULL: none. Cuts documents and is not trained on
    const char *pattern;   // NULL: GPT-2's
    size_t vocab_size;     // entries: special tokens, 256 bytes, merges
    size_t min_frequency;  // a pair merges that occurs so often; 1 or more
    size_t max_length;     // tokens that the model takes (model_max_length); 0: not said
    bool allow_fewer;      // take what came out where the text cannot fill the vocabulary
    void (*progress)(void *who, const char *doing, double done); // NULL; done: 0 to 1
    void *who;
};

/* What came out. */
struct lorac_tokenizer_report {
    size_t entries, merges;
    size_t bytes, documents; // of the text that was trained on
    size_t pieces, distinct; // in it
    size_t tokens;           // that its bytes became
};

/* Learn a tokenizer and write it as the folder `dir`, which must not exist or be empty:
 * tokenizer.json and tokenizer_config.json, which appear together or not at all, after they were
 * read back and a sample of every file was encoded as the merges say, and decoded to itself.
 * `report` is written on success. LORAC_EUSER: options that contradict, text that cannot fill the
 * vocabulary. LORAC_EFORMAT: a file that is not UTF-8 (with the byte's offset), or a pattern that
 * is none. */
LORAC_MUST_CHECK enum lorac_status lorac_tokenizer_train(struct lorac_tokenizer_report *report,
                                                         const char *dir,
                                                         const struct lorac_tokenizer_options *o,
                                                         struct lorac_err *err);

LORAC_API_END

#endif
