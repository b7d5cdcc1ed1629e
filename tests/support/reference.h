/* reference.h - tests/golden/reference.json: what transformers and PEFT say of real models and
 * published adapters. */
#ifndef LORAC_TESTS_REFERENCE_H
#define LORAC_TESTS_REFERENCE_H

#include "base/core/json.h"
#include "base/model.h"
#include "base/tokenizer/tokenizer.h"

/* The whole file; lorac_json_free(). */
void reference_open(struct lorac_json *root);
/* A list of ids there, in place of what `ids` holds. */
void reference_ids(struct lorac_ids *ids, const struct lorac_json *from, const char *key);
/* Fails the running test where `got` is further from the number there than its digits, and float32
 * on both sides, explain. */
void reference_near(const char *what, double got, const struct lorac_json *from, const char *key);
/* -log p of ids[1..], each behind all before it. */
double reference_nll(const struct lorac_model *m, const struct lorac_socket *socket,
                     const struct lorac_ids *ids);

#endif
