/* golden.h - the cases of tests/golden/models and tests/golden/heads: what transformers and PEFT
 * computed (see the README there). */
#ifndef LORAC_TESTS_GOLDEN_H
#define LORAC_TESTS_GOLDEN_H

#include "base/model.h"

extern const char *const golden_cases[]; // of models/; NULL-terminated
extern const char *const golden_heads[]; // of heads/, "../heads/llama", ...
const char *golden_every(size_t i); // of golden_cases, then masked language models; NULL: the end
const char *golden_every_head(size_t i);    // of golden_heads, then encoders with their own
extern const char *const golden_encoders[]; // of models/, with any head of their own, or none

struct golden {
    char dir[512]; // folder of the case
    struct lorac_checkpoint *expected;
    struct lorac_batch *batch;          // all segments, with their targets scored
    struct lorac_model_options options; // what the model is opened for
    double weight;                      // of all targets, which the mean loss divides their sum by
};

/* Fails the running test where something is missing. */
void golden_open(struct golden *g, const char *name);
void golden_close(struct golden *g);
/* The model of a case, or of the folder that begins with a slash; fails the running test where
 * there is none. */
struct lorac_model *golden_model(struct lorac_device *dev, const char *name);
/* The model of an open case, for its task. */
struct lorac_model *golden_open_model(const struct golden *g, struct lorac_device *dev);
/* "DIR/NAME", valid until the next call. */
const char *golden_path(const struct golden *g, const char *name);
/* Is there such an expected tensor? */
bool golden_has(const struct golden *g, const char *name);
/* The expected tensor, and how many numbers it has. */
const float *golden_tensor(const struct golden *g, const char *name, size_t *n);
float golden_largest(const float *x, size_t n); // max |x|

/* A batch like `like` whose rows all ask for logits. */
struct lorac_batch *golden_logits_batch(const struct lorac_batch *like);

#endif
