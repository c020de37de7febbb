"""The outline of the AudioSet ontology: 632 kinds of sound, what stands under what.

Names and relations are facts of Gemmeke et al. 2017 (by Google, CC BY-SA 4.0). Two spaces a level;
`~` marks a node that is none of the 527 classes; a node with several parents stands under each of
them, what is below it only where it stands first. `data/ontology.py` reads it.
"""

from __future__ import annotations

OUTLINE = """\
~Human sounds
  ~Human voice
    Speech
      Male speech, man speaking
      Female speech, woman speaking
      Child speech, kid speaking
      Conversation
      Narration, monologue
      Babbling
      Speech synthesizer
    Shout
      Bellow
      Whoop
      Yell
      Battle cry
      Children shouting
    Screaming
    Whispering
    Laughter
      Baby laughter
      Giggle
      Snicker
      Belly laugh
      Chuckle, chortle
    Crying, sobbing
      Baby cry, infant cry
      Whimper
    Wail, moan
    Sigh
    Singing
      Choir
      Yodeling
      Chant
        Mantra
      Male singing
      Female singing
      Child singing
      Synthetic singing
      Rapping
    Humming
    Groan
    Grunt
    ~Yawn
  Whistling
    ~Wolf-whistling
  ~Respiratory sounds
    Breathing
      Wheeze
      Snoring
      Gasp
      Pant
      Snort
    Cough
      Throat clearing
    Sneeze
    Sniff
  ~Human locomotion
    Run
    Shuffle
    Walk, footsteps
  ~Digestive
    Chewing, mastication
    Biting
    Gargling
    Stomach rumble
    Burping, eructation
    Hiccup
    Fart
  Hands
    Finger snapping
    Clapping
  Heart sounds, heartbeat
    Heart murmur
  ~Otoacoustic emission
    ~Tinnitus, ringing in the ears
  ~Human group actions
    Clapping
    Cheering
    Applause
    Chatter
    Crowd
    Hubbub, speech noise, speech babble
    ~Booing
    Children playing
    Children shouting
Animal
  Domestic animals, pets
    Dog
      Bark
      Yip
      Howl
      Bow-wow
      Growling
      Whimper (dog)
      ~Bay
    Cat
      Purr
      Meow
      Hiss
      ~Cat communication
      Caterwaul
      Growling
  Livestock, farm animals, working animals
    Horse
      Clip-clop
      Neigh, whinny
      ~Snort (horse)
      ~Nicker
    ~Donkey, ass
    Cattle, bovinae
      Moo
      Cowbell
      ~Yak
    Pig
      Oink
    Goat
      Bleat
    Sheep
      Bleat
    Fowl
      Chicken, rooster
        Cluck
        Crowing, cock-a-doodle-doo
      Turkey
        Gobble
      Duck
        Quack
      Goose
        Honk
  Wild animals
    Roaring cats (lions, tigers)
      Roar
      Growling
    Bird
      Bird vocalization, bird call, bird song
        Chirp, tweet
        Squawk
      Pigeon, dove
        Coo
      Crow
        Caw
      Owl
        Hoot
      ~Gull, seagull
      Bird flight, flapping wings
    Canidae, dogs, wolves
      Howl
      Growling
    Rodents, rats, mice
      Mouse
      ~Chipmunk
      Patter
    Insect
      Cricket
      Mosquito
      Fly, housefly
        Buzz
      Bee, wasp, etc.
        Buzz
    Frog
      Croak
    Snake
      Hiss
      Rattle
    Whale vocalization
Music
  Musical instrument
    Plucked string instrument
      Guitar
        Electric guitar
        Bass guitar
        Acoustic guitar
        Steel guitar, slide guitar
        Tapping (guitar technique)
        Strum
      Banjo
      Sitar
      Mandolin
      Zither
      Ukulele
    Keyboard (musical)
      Piano
        Electric piano
          ~Clavinet
          ~Rhodes piano
      Organ
        Electronic organ
        Hammond organ
      Synthesizer
        Sampler
        ~Mellotron
      Harpsichord
    Percussion
      Drum kit
        Drum machine
      Drum
        Snare drum
          Rimshot
          Drum roll
        Bass drum
        Timpani
        Tabla
      Cymbal
        Hi-hat
        ~Crash cymbal
      Cowbell
      Wood block
      Tambourine
      Rattle (instrument)
        Maraca
      Gong
      Tubular bells
      Mallet percussion
        Marimba, xylophone
        Glockenspiel
        Vibraphone
        Steelpan
    Orchestra
    Brass instrument
      French horn
      Trumpet
      Trombone
      ~Cornet
      ~Bugle
    Bowed string instrument
      String section
      Violin, fiddle
        Pizzicato
      Cello
      Double bass
    Wind instrument, woodwind instrument
      Flute
      Saxophone
        ~Alto saxophone
        ~Soprano saxophone
      Clarinet
      ~Oboe
      ~Bassoon
    Harp
    Choir
    Bell
      Church bell
      Cowbell
      Jingle bell
      Bicycle bell
      Tuning fork
      Chime
        Wind chime
      Change ringing (campanology)
    Harmonica
    Accordion
    Bagpipes
    Didgeridoo
    Shofar
    Theremin
    Singing bowl
    ~Musical ensemble
    ~Bass (instrument role)
    Scratching (performance technique)
  ~Music genre
    Pop music
    Hip hop music
      ~Grime music
      ~Trap music
      Beatboxing
    Rock music
      Heavy metal
      Punk rock
      Grunge
      Progressive rock
      Rock and roll
      Psychedelic rock
    Rhythm and blues
    Soul music
    Reggae
      ~Dub
    Country
      Swing music
      Bluegrass
    Funk
    Folk music
    Middle Eastern music
    Jazz
    Disco
    Classical music
      Opera
    Electronic music
      House music
      Techno
      Dubstep
      ~Electro
      Drum and bass
        ~Oldschool jungle
      Electronica
      Electronic dance music
      Ambient music
        ~Drone music
      Trance music
      ~Noise music
      ~UK garage
    Music of Latin America
      ~Cumbia
      Salsa music
      ~Soca music
      ~Kuduro
      ~Funk carioca
      Flamenco
    Blues
    Music for children
    New-age music
    Vocal music
      A capella
      Chant
      Beatboxing
    Music of Africa
      Afrobeat
      ~Kwaito
    Christian music
      Gospel music
    Music of Asia
      Carnatic music
      Music of Bollywood
    Ska
    Traditional music
    Independent music
  ~Musical concepts
    Song
    ~Melody
    ~Musical note
    ~Beat
      ~Drum beat
    ~Chord
    ~Harmony
    ~Bassline
    ~Loop
    ~Drone
  ~Music role
    Background music
    Theme music
    Jingle (music)
    Soundtrack music
    Lullaby
    Video game music
    Christmas music
    Dance music
    Wedding music
    ~Birthday music
  ~Music mood
    Happy music
    Funny music
    Sad music
    Tender music
    Exciting music
    Angry music
    Scary music
~Natural sounds
  Wind
    ~Howl (wind)
    Rustling leaves
    Wind noise (microphone)
  Thunderstorm
    Thunder
  Water
    Rain
      Raindrop
      Rain on surface
    Stream
    Waterfall
    Ocean
      Waves, surf
    Steam
      Hiss
    Gurgling
  Fire
    Crackle
    ~Wildfire
~Sounds of things
  Vehicle
    Boat, Water vehicle
      Sailboat, sailing ship
      Rowboat, canoe, kayak
      Motorboat, speedboat
      Ship
    Motor vehicle (road)
      Car
        Vehicle horn, car horn, honking
          Toot
        Car alarm
        Power windows, electric windows
        Skidding
        Tire squeal
        Car passing by
        Race car, auto racing
      Truck
        Air brake
        Air horn, truck horn
        Reversing beeps
        Ice cream truck, ice cream van
      Bus
      Emergency vehicle
        Police car (siren)
        Ambulance (siren)
        Fire engine, fire truck (siren)
      Motorcycle
      Traffic noise, roadway noise
    Rail transport
      Train
        Train whistle
        Train horn
      Railroad car, train wagon
      Train wheels squealing
      Subway, metro, underground
    Aircraft
      Aircraft engine
        Jet engine
        Propeller, airscrew
      Helicopter
      Fixed-wing aircraft, airplane
    ~Non-motorized land vehicle
      Bicycle
        Bicycle bell
      Skateboard
  Engine
    Light engine (high frequency)
      Dental drill, dentist's drill
      Lawn mower
      Chainsaw
    Medium engine (mid frequency)
    Heavy engine (low frequency)
    Jet engine
    Engine knocking
    Engine starting
    Idling
    Accelerating, revving, vroom
  ~Domestic sounds, home sounds
    Door
      Doorbell
        Ding-dong
      Sliding door
      Slam
      Knock
      Tap
      Squeak
    Cupboard open or close
    Drawer open or close
    Dishes, pots, and pans
    Cutlery, silverware
    Chopping (food)
    Frying (food)
    Microwave oven
    Blender
    ~Kettle whistle
    Water tap, faucet
    Sink (filling or washing)
    Bathtub (filling or washing)
    Hair dryer
    Toilet flush
    Toothbrush
      Electric toothbrush
    Vacuum cleaner
    Zipper (clothing)
    ~Velcro, hook and loop fastener
    Keys jangling
    Coin (dropping)
    ~Packing tape, duct tape
    Scissors
    Electric shaver, electric razor
    Shuffling cards
    Typing
      Typewriter
      Computer keyboard
    Writing
  Bell
  Alarm
    Telephone
      Telephone bell ringing
      Ringtone
      ~Cellphone buzz, vibrating alert
      Telephone dialing, DTMF
      Dial tone
      Busy signal
    Alarm clock
    Siren
      Police car (siren)
      Ambulance (siren)
      Fire engine, fire truck (siren)
      Civil defense siren
    Doorbell
    Buzzer
    Smoke detector, smoke alarm
    Fire alarm
    Car alarm
    Vehicle horn, car horn, honking
    Bicycle bell
    Air horn, truck horn
    Foghorn
    Whistle
      ~Kettle whistle
      Steam whistle
  Mechanisms
    Ratchet, pawl
    Clock
      Tick
      Tick-tock
    Gears
    Pulleys
    Sewing machine
    Mechanical fan
    Air conditioning
    Cash register
    Printer
    Camera
      Single-lens reflex camera
  Tools
    Hammer
    Jackhammer
    Sawing
    Filing (rasp)
    Sanding
    Power tool
      Drill
        Dental drill, dentist's drill
  Explosion
    Gunshot, gunfire
      Machine gun
      Fusillade
      Artillery fire
      Cap gun
    Fireworks
      Firecracker
    Burst, pop
    Eruption
    Boom
      ~Sonic boom
  Wood
    Chop
    Splinter
    Crack
    ~Snap
  Glass
    Chink, clink
    Shatter
  Liquid
    Splash, splatter
      Slosh
    Squish
    Drip
    Pour
      Trickle, dribble
      Gush
    Fill (with liquid)
    Spray
    Pump (liquid)
    Stir
    Boiling
  ~Miscellaneous sources
    Sonar
    ~Duck call (hunting tool)
    Arrow
      Whoosh, swoosh, swish
      Thump, thud
        Thunk
        ~Clunk
      ~Wobble
    ~Sound equipment
      ~Microphone
        Wind noise (microphone)
      Electronic tuner
      ~Guitar amplifier
      Effects unit
        Chorus effect
  ~Specific impact sounds
    Basketball bounce
~Source-ambiguous sounds
  ~Generic impact sounds
    Bang
    Slap, smack
    Whack, thwack
    Smash, crash
    Breaking
    Bouncing
    Knock
    Tap
    Thump, thud
    Whip
    Flap
  ~Surface contact
    Scratch
    Scrape
    Rub
    Roll
    ~Grind
  ~Deformable shell
    Crushing
    Crumpling, crinkling
    Tearing
  ~Onomatopoeia
    ~Brief tone
      Beep, bleep
      Ping
      Ding
      Clang
      ~Twang
      Chirp, tweet
      Buzz
      Squeak
      Squeal
      ~Screech
    Hiss
    Creak
    Rattle
    Whoosh, swoosh, swish
    Rustle
    Whir
    Clatter
    Sizzle
    Clicking
      Tick
      Clip-clop
      Clickety-clack
    Rumble
    ~Blare
    Plop
    Jingle, tinkle
    ~Fizz
    ~Puff
    Hum
    Squish
    Zing
    Boing
    Crackle
    Crunch
    Crack
    ~Snap
  Silence
  ~Other sourceless
    Sine wave
      Harmonic
      Chirp tone
    Sound effect
    Pulse
    ~Infrasound
    ~Bass (frequency range)
    ~Ringing (of resonator)
~Channel, environment and background
  ~Acoustic environment
    Inside, small room
    Inside, large room or hall
    Inside, public space
    Outside, urban or manmade
    Outside, rural or natural
    Reverberation
    Echo
  Noise
    ~Background noise
      Environmental noise
      ~Tape hiss
      Static
      Mains hum
      Distortion
      Sidetone
    Hubbub, speech noise, speech babble
    Cacophony
    White noise
    Pink noise
    Throbbing
    Vibration
  ~Sound reproduction
    Television
    Radio
    ~Loudspeaker
    ~Headphones
    ~Recording
      Field recording
    ~Gramophone record
    ~Compact disc
    ~MP3
"""
