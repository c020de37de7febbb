"""Say two sentences, at another pace, and tell when each word is heard."""

from __future__ import annotations

import sonograph as sound
from sonograph.infer.speak import Manner


def main() -> None:
    hello = sound.speak("Good morning.")  # hello.write("hello.wav") keeps it
    print(f"{hello.duration_s:.2f} s at {hello.rate_hz} Hz")
    voice = sound.open_voice()
    for said in voice.say("Press one for sales. Press two for help.", Manner(pace=0.9)):
        print(f"{said.start_s:.2f} to {said.end_s:.2f} s: {said.text}")
        for word in said.words:
            print(f"    {word.start_s:.2f} s  {word.word}")


if __name__ == "__main__":
    main()
