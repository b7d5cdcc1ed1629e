/* modules.h - a model's modules by name, and a list of modules that stands for a model. */
#ifndef LORAC_TESTS_MODULES_H
#define LORAC_TESTS_MODULES_H

#include "base/model.h"

/* The module of this name; a test that asks for one that isn't there fails. */
size_t modules_find(const struct lorac_model *m, const char *name);
/* "model.layers.<layer>.<kind>" */
size_t modules_layer(const struct lorac_model *m, size_t layer, const char *kind);
size_t modules_count_linear(const struct lorac_model *m); // the head counts

/* A llama of L layers of width 1: names and shapes without tensors. `biased`: q_proj and o_proj
 * have a bias. */
struct lorac_model modules_llama(size_t L, bool biased);
void modules_free(struct lorac_model *m);

#endif
