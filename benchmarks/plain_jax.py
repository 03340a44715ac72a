"""What a JAX user writes first: an Equinox module, optax.adam and one jitted step.

Run by `train_step.py` and `gpu_step.py` with the interpreter of an environment that has jax,
equinox and optax; takes the settings as one JSON argument and prints the milliseconds of a step as
JSON. With ``stretch`` the result is waited for after so many steps only, as a GPU's user would;
with ``scan`` these steps are one compiled loop.
"""

import json
import os
import statistics
import sys
import time

SETTINGS = json.loads(sys.argv[1])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: SETTINGS["threads"]])

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402


class Block(eqx.Module):
    """Pre-LayerNorm causal attention with a residual connection, for one sequence."""

    norm: eqx.nn.LayerNorm
    qkv: eqx.nn.Linear
    proj: eqx.nn.Linear
    heads: int = eqx.field(static=True)

    def __init__(self, width, heads, key):
        first, second = jax.random.split(key)
        self.norm = eqx.nn.LayerNorm(width)
        self.qkv = eqx.nn.Linear(width, 3 * width, use_bias=False, key=first)
        self.proj = eqx.nn.Linear(width, width, use_bias=False, key=second)
        self.heads = heads

    def __call__(self, x):
        tokens, width = x.shape
        qkv = jax.vmap(self.qkv)(jax.vmap(self.norm)(x))
        q, k, v = qkv.reshape(tokens, 3, self.heads, -1).transpose(1, 2, 0, 3)
        scores = q @ k.transpose(0, 2, 1) * (width // self.heads) ** -0.5
        scores = jnp.where(jnp.tril(jnp.ones((tokens, tokens), bool)), scores, -jnp.inf)
        mixed = jax.nn.softmax(scores) @ v
        return x + jax.vmap(self.proj)(mixed.transpose(1, 0, 2).reshape(tokens, width))


class Network(eqx.Module):
    """The papers' network for one sequence; logits of the query only."""

    exemplar: eqx.nn.Linear
    label: eqx.nn.Embedding
    position: jax.Array
    blocks: list
    norm: eqx.nn.LayerNorm
    head: eqx.nn.Linear

    def __init__(self, classes, dim, width, heads, depth, key):
        keys = jax.random.split(key, depth + 4)
        self.exemplar = eqx.nn.Linear(dim, width, key=keys[0])
        self.label = eqx.nn.Embedding(classes, width, key=keys[1])
        self.position = jax.random.normal(keys[2], (32, width))
        self.blocks = [Block(width, heads, key) for key in keys[4:]]
        self.norm = eqx.nn.LayerNorm(width)
        self.head = eqx.nn.Linear(width, classes, key=keys[3])

    def __call__(self, examples, labels):
        shown, named = jax.vmap(self.exemplar)(examples), jax.vmap(self.label)(labels)
        pairs = jnp.stack((shown[:-1], named), axis=1).reshape(-1, shown.shape[-1])
        x = jnp.concatenate((pairs, shown[-1:]))
        x = x + self.position[: len(x)]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[-1]))


def milliseconds(classes):
    """Median time of a jitted Adam step, and the time a tenth from the fastest."""
    batch, context, dim = SETTINGS["batch"], SETTINGS["context"], SETTINGS["dim"]
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    network = Network(
        classes, dim, SETTINGS["width"], SETTINGS["heads"], SETTINGS["depth"], keys[0]
    )
    optimizer = optax.adam(1e-4)
    state = optimizer.init(eqx.filter(network, eqx.is_array))
    examples = jax.random.normal(keys[1], (batch, context + 1, dim))
    labels = jax.random.randint(keys[2], (batch, context), 0, classes)

    @eqx.filter_jit(donate="all-except-first")
    def step(data, network, state):
        examples, labels = data

        def loss_of(network):
            logits = jax.vmap(network)(examples, labels)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels[:, 0]).mean()

        loss, gradients = eqx.filter_value_and_grad(loss_of)(network)
        updates, state = optimizer.update(gradients, state)
        return loss, eqx.apply_updates(network, updates), state

    stretch = SETTINGS.get("stretch", 1)

    @eqx.filter_jit(donate="all-except-first")
    def loop(data, network, state):
        parts, fixed = eqx.partition((network, state), eqx.is_array)

        def body(parts, _):
            loss, *after = step(data, *eqx.combine(parts, fixed))
            return eqx.filter(tuple(after), eqx.is_array), loss

        parts, losses = jax.lax.scan(body, parts, length=stretch)
        return losses[-1], *eqx.combine(parts, fixed)

    once, calls = (loop, 1) if SETTINGS.get("scan") else (step, stretch)
    times = []
    for _ in range(SETTINGS["warm_up"] + SETTINGS["steps"]):
        start = time.perf_counter()
        for _ in range(calls):
            loss, network, state = once((examples, labels), network, state)
        loss.block_until_ready()
        times.append((time.perf_counter() - start) / stretch)
    kept = [1e3 * value for value in times[SETTINGS["warm_up"] :]]
    return statistics.median(kept), statistics.quantiles(kept, n=10)[0]


print(json.dumps({str(count): milliseconds(count) for count in SETTINGS["classes"]}))
