/* predictor_impl.h - inside recipes/: what predictor.c and predictor_open.c share. */
#ifndef LORAC_RECIPES_PREDICTOR_IMPL_H
#define LORAC_RECIPES_PREDICTOR_IMPL_H

#include "recipes/run/predictor.h"

/* All behind a predictor of two folders (predictor_open.c). */
struct lorac_whole;
void lorac_whole_close(struct lorac_whole *w); // NULL is accepted
/* It closes `w` when it is freed. */
void lorac_predictor_own(struct lorac_predictor *p, struct lorac_whole *w);

#endif
