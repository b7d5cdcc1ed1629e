/* match.h - module matching with the wording and strictness of its caller; inside lora/ only. */
#ifndef LORAC_LORA_MATCH_H
#define LORAC_LORA_MATCH_H

#include "lora/lora.h"

/* How failures read, and whether a name that matches nothing is one. A recipe is what a person
 * wants: all of it must be found. A PEFT file lists names for many kinds of models, and what its
 * tensors are is compared with the result anyway; but an alpha that goes nowhere, no tensor shows.
 */
struct lorac_match_words {
    const char *targets, *exclude, *layers, *overrides; // the places
    const char *feedforward;
    const char *train_also, *tie, *bias;
    bool strict;
    bool all_overrides;     // each of them must fit an adapted module; strict asks for more
    bool may_be_empty;      // no pair at all is no failure
    enum lorac_status code; // of failures
};

LORAC_MUST_CHECK enum lorac_status lorac_match_as(struct lorac_match *out, // (n_modules)
                                                  const struct lorac_model *m,
                                                  const struct lorac_adapter_options *o,
                                                  const struct lorac_match_words *words,
                                                  struct lorac_err *err);

/* Its two steps about modules trained in full, match_full.c: what `train_also` names, before the
 * pairs are given out (`out` written); and the biases beside them, after (`out` amended). */
LORAC_MUST_CHECK enum lorac_status lorac_match_full(struct lorac_match *out, // (n_modules)
                                                    const struct lorac_model *m,
                                                    const struct lorac_adapter_options *o,
                                                    const struct lorac_match_words *words,
                                                    struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_match_biases(struct lorac_match *out, // (n_modules)
                                                      const struct lorac_model *m,
                                                      const struct lorac_adapter_options *o,
                                                      const struct lorac_match_words *words,
                                                      struct lorac_err *err);

/* name ends with `end`: PEFT's comparison for modules_to_save, which knows no dots. */
bool lorac_ends_with(const char *name, const char *end);
/* Does PEFT take the module by this entry of modules_to_save? It, or a block that it is in, ends
 * with it. */
bool lorac_is_taken(const char *name, const char *entry);
/* name is `entry` or ends with "." + entry: its comparison for targets. */
bool lorac_is_suffix(const char *name, const char *entry);

#endif
