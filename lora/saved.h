/*
 * saved.h - the prompt template that travels with an adapter: "lorac.template" in the metadata of
 * its weights, one line of JSON.
 *
 *   {"prompt": "{text}\n", "completion": " {label}", "append_eos": true,
 *    "labels": ["calm", "angry"], "tokenizer": "16 digits"}
 *
 * Of a chat also "chat_template", the model's, which stands in the adapter's chat_template.jinja,
 * too, and where they were given "system" and "date". Its prompt is what the user says and its
 * completion the answer; both are empty where whole conversations were trained.
 *
 * Of a head the labels are those of its outputs, in their order (transformers' id2label), and
 *
 *   "problem_type": "regression", "mean": 3.2, "deviation": 1.1
 *
 * stand beside them: what a number that it gives is times the deviation plus the mean. No file of
 * PEFT's has a place for these, and a config.json beside the adapter would make transformers take
 * the folder for a whole model and ask for its weights.
 */
#ifndef LORAC_LORA_SAVED_H
#define LORAC_LORA_SAVED_H

#include "base/core/buf.h"
#include "base/core/err.h"

LORAC_API_BEGIN

struct lorac_saved {
    const char *prompt, *completion; // "": none
    bool append_eos;
    const char *const *labels; // (K) the answers to choose from; NULL: not told
    size_t K;
    const char *chat;          // the chat template; NULL: a template of text
    const char *system, *date; // of a chat; NULL: none
    const char *tokenizer;     // its fingerprint; NULL: not told
    const char *problem;       // of a head on texts: transformers' problem_type; NULL: not told
    double mean, deviation;    // of a regression's targets; deviation 0: not told
};
/* What `json` (lorac_adapter.template_json) says; *out NULL where that is NULL. One block
 * (lorac_mem_free). */
LORAC_MUST_CHECK enum lorac_status lorac_saved_read(struct lorac_saved **out, const char *json,
                                                    struct lorac_err *err);
void lorac_saved_write(struct lorac_buf *json, const struct lorac_saved *s);

LORAC_API_END

#endif
