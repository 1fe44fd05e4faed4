"""Condense, look, score and save from Python; run it as a script, or cell by cell in a notebook."""

# %%
import proxyset

data = proxyset.load("digits")  # or a path; .train, .test, .spec
print(data)

# %%
method = proxyset.METHODS["dsa"](net="convnet-w32", iterations=20)
proxy = proxyset.build(data, method, ipc=1, seed=0)
print(proxy)

# %%
protocol = proxyset.Evaluation(nets=2, epochs=100)  # the paper: 20 networks, 1,000 epochs
score = proxyset.evaluate(proxy.data, data.test, data.spec, protocol, net="convnet-w32")
print(f"{score.mean:.3f} ± {score.std:.3f}")

# %%
proxy.save("digits.safetensors")
again = proxyset.ProxySet.load("digits.safetensors")  # checked against its content hash
print(again.provenance["method"], again.provenance["settings"]["iterations"])
