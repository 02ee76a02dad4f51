# What examples/from-modal/src/main.ts was moved over from. It needs a Modal account; nothing here runs it.
import modal

app = modal.App("fine-tune")
volume = modal.Volume.from_name("models", create_if_missing=True)


@app.function(volumes={"/models": volume})
def train(steps: int):
    with open("/models/tuned/weights.bin", "wb") as file:
        for step in range(steps):
            file.write(step.to_bytes(4, "little"))
    volume.commit()


@app.function(volumes={"/models": volume})
def serve() -> int:
    volume.reload()
    with open("/models/tuned/weights.bin", "rb") as file:
        return len(file.read())


@app.local_entrypoint()
def main():
    with volume.batch_upload() as batch:
        batch.put_file("tokenizer.json", "/base/tokenizer.json")
        batch.put_directory("base-model/", "/base/model")
    train.remote(1000)
    print(serve.remote(), "bytes served")
    for entry in volume.listdir("/", recursive=True):
        print(entry.path)
    volume.copy_files(["/tuned/weights.bin"], "/best.bin")
    print(sum(len(block) for block in volume.read_file("/best.bin")))
    volume.remove_file("/tuned", recursive=True)
