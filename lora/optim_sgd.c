/* optim_sgd.c - stochastic gradient descent with momentum, as PyTorch's. */
#include "lora/optim_impl.h"

static void sgd(struct lorac_optim *o, size_t first, size_t n, double g_scale, double lr, double wd)
{
    struct lorac_device *dev = o->a->model->dev;
    dev->ops->sgd(dev, o->a->params + first, lorac_optim_block(o, 0) + first, o->a->grads + first,
                  n, g_scale, lr, o->o.momentum, wd);
}

const struct lorac_optimiser lorac_sgd = {"sgd", 1, {"m"}, {"momentum"}, sgd};
