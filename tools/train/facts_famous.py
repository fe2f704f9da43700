"""People and places that everyone asks for: which of WordNet must not be missed, and own lines for those it lacks."""

import re
from collections.abc import Iterator

from .facts_world import Row

DOCS = 24  # question documents of each of these names

# Names as people type them; after ":" a word of the gloss where WordNet has several of that name.
IN_WORDNET = """
Albert Einstein|Einstein|Isaac Newton|Newton|Galileo|Galileo Galilei|Charles Darwin|Darwin|Marie Curie|Curie:1867
Pierre Curie|Nikola Tesla|Tesla|Thomas Edison|Edison|Alexander Graham Bell|Louis Pasteur|Pasteur|Copernicus|Kepler
Archimedes|Euclid|Pythagoras|Aristotle|Plato|Socrates|Confucius|Immanuel Kant|Kant|Nietzsche|Descartes|Voltaire
Rousseau:philosopher|Karl Marx|Marx:communism|Sigmund Freud|Freud|Carl Jung|Alan Turing|Turing|Max Planck|Niels Bohr
Werner Heisenberg|Erwin Schrodinger|Enrico Fermi|Robert Oppenheimer|Oppenheimer|Richard Feynman|Feynman
Michael Faraday|Faraday|James Watt|Watt:steam|Alfred Nobel|Nobel|William Shakespeare|Shakespeare|Charles Dickens
Dickens|Jane Austen|Mark Twain|Twain|Ernest Hemingway|Hemingway|George Orwell|Orwell|Oscar Wilde|Wilde|Leo Tolstoy
Tolstoy|Dostoevsky|Fyodor Dostoyevsky|Chekhov|Goethe|Johann Wolfgang von Goethe|Dante|Homer:epic|Cervantes
Miguel de Cervantes|Victor Hugo|Hugo:French|Jules Verne|Agatha Christie|Edgar Allan Poe|Poe|Franz Kafka|Kafka
James Joyce|Virginia Woolf|Lewis Carroll|J.R.R. Tolkien|Tolkien|H. G. Wells|Arthur Conan Doyle|Mary Shelley
Emily Dickinson|Walt Whitman|Mozart|Wolfgang Amadeus Mozart|Beethoven|Ludwig van Beethoven|Bach:1685
Johann Sebastian Bach|Chopin|Vivaldi|Handel|Haydn|Schubert|Wagner:operas|Richard Wagner|Tchaikovsky|Verdi|Brahms
Elvis Presley|Elvis|Presley|John Lennon|Lennon|Bob Dylan|Louis Armstrong|Frank Sinatra|Michael Jackson|Jimi Hendrix
Pablo Picasso|Picasso|Leonardo da Vinci|Leonardo|da Vinci|Michelangelo|Raphael:Italian|Rembrandt|Vincent van Gogh
van Gogh|Claude Monet|Monet|Salvador Dali|Dali|Andy Warhol|Johannes Vermeer|Vermeer|Titian|Botticelli|Napoleon
Napoleon Bonaparte|Julius Caesar|Caesar:Roman|Augustus|Nero|Cleopatra|Alexander the Great|Alexander:Macedon|Hannibal
Genghis Khan|Attila|Attila the Hun|Charlemagne|Joan of Arc|William the Conqueror|Henry VIII|Elizabeth I
Queen Victoria|Louis XIV|Marie Antoinette|Catherine the Great|Peter the Great|Ivan the Terrible|Spartacus
Tutankhamen|Nefertiti|Marco Polo|Christopher Columbus|Columbus:navigator|Vasco da Gama|Ferdinand Magellan
Magellan:Portuguese|James Cook|Captain Cook|Francis Drake|Neil Armstrong|Yuri Gagarin|George Washington
Thomas Jefferson|Benjamin Franklin|Abraham Lincoln|Lincoln:President|Ulysses S. Grant|Theodore Roosevelt
Franklin Roosevelt|Franklin D. Roosevelt|Woodrow Wilson|Harry Truman|Dwight Eisenhower|John F. Kennedy|JFK
Richard Nixon|Ronald Reagan|Bill Clinton|George Bush|Winston Churchill|Churchill:statesman|Margaret Thatcher
Thatcher:Britain|Adolf Hitler|Hitler|Benito Mussolini|Mussolini|Joseph Stalin|Stalin|Vladimir Lenin|Lenin
Leon Trotsky|Mao Zedong|Mao|Ho Chi Minh|Fidel Castro|Che Guevara|Mahatma Gandhi|Gandhi:1869|Indira Gandhi
Nelson Mandela|Mandela|Martin Luther King|Martin Luther King Jr.|Martin Luther|Malcolm X|Rosa Parks
Mikhail Gorbachev|Charles de Gaulle|Otto von Bismarck|Bismarck:Germany|Simon Bolivar|Saddam Hussein|Osama bin Laden
Yasser Arafat|Mother Teresa|Helen Keller|Florence Nightingale|Amelia Earhart|Anne Frank|Harriet Tubman
Frederick Douglass|Pocahontas|Geronimo|Sitting Bull|Jesus|Jesus Christ|Muhammad|Mohammed|Moses:Hebrew|Buddha
Abraham:patriarch|Adam:first|Eve:wife|Noah:patriarch|Zeus|Apollo:Greek|Athena|Poseidon|Thor|Odin|Walt Disney
Charlie Chaplin|Marilyn Monroe|Monroe:actress|Alfred Hitchcock|Humphrey Bogart|Marlon Brando|James Dean
Steven Spielberg|Muhammad Ali|Babe Ruth|Jesse Owens|Jack the Ripper|Al Capone|Billy the Kid|Robin Hood|King Arthur
Sherlock Holmes|Don Quixote|Frankenstein|Nile|Amazon:river|Mississippi:river|Thames|Danube|Rhine|Seine|Ganges
Congo:river|Yangtze|Volga|Euphrates|Tigris|Mekong|Niger:river|Mount Everest|Everest|K2|Kilimanjaro|Mount Kilimanjaro
Mont Blanc|Matterhorn|Fuji|Mount Fuji|Vesuvius|Mount Vesuvius|Etna|Mount Etna|Alps|Andes|Himalayas|Rocky Mountains
Rockies|Pyrenees|Urals|Appalachians|Sahara|Sahara Desert|Gobi|Gobi Desert|Kalahari|Pacific|Pacific Ocean|Atlantic
Atlantic Ocean|Indian Ocean|Arctic Ocean|Antarctic Ocean|Mediterranean|Mediterranean Sea|Black Sea|Red Sea|Caribbean
Baltic|Baltic Sea|North Sea|Caspian Sea|Dead Sea|Lake Superior|Lake Victoria|Lake Michigan|Lake Geneva|Great Lakes
Africa|Asia|Europe|North America|South America|Antarctica|Australia:continent|Oceania|Sun|Moon|Earth|Mercury:planet
Venus:planet|Mars|Jupiter|Saturn|Uranus:planet|Neptune:planet|Pluto:planet|Milky Way|Polaris|Sirius|Grand Canyon
Niagara Falls|Victoria Falls|Niagara:falls|Great Barrier Reef|Gibraltar|Suez Canal|Panama Canal|English Channel
Great Wall of China|Great Wall|Eiffel Tower|Statue of Liberty|Taj Mahal|Big Ben|Stonehenge|Colosseum|Parthenon
Louvre|Kremlin|White House|Pentagon:Virginia|Golden Gate Bridge|Empire State Building|Brooklyn Bridge
Tower of London|Westminster Abbey|Versailles|Hollywood:district|Broadway|Wall Street|Las Vegas|Times Square
Disneyland|London|Paris|Rome|Berlin|Madrid|Vienna|Athens|Moscow|Tokyo|Beijing|New York|New York City|Los Angeles
Chicago|Washington:capital|Jerusalem|Mecca|California|Texas|Florida|Alaska|Hawaii|Hawaii:state|Nevada|Arizona
Colorado|Virginia|Ohio|Michigan|Georgia:state|Oregon|Utah|Montana|England|Scotland|Wales|Ireland|Bavaria|Tuscany
Sicily|Siberia|Tibet|Hong Kong|Scandinavia|Balkans|Middle East|Greenland|Crete|Bali|Java:island|World War I
World War II|First World War|Second World War|American Civil War|American Revolution|French Revolution
Russian Revolution|Vietnam War|Korean War|Cold War|Crusade|Renaissance|Middle Ages|Industrial Revolution|Black Death
Holocaust|Magna Carta|Waterloo|Roman Empire|Byzantine Empire|Ottoman Empire|British Empire|Soviet Union|USSR
European Union|EU|United Nations|UN|NATO|NASA|FBI|CIA|Bible|Koran|Old Testament|New Testament|Iliad|Odyssey:epic
Internet|Hinduism|Christianity|Islam|Buddhism|Judaism
"""

# name (other names); who or what it is; years of birth and death of a person
OWN = """
Barack Obama (Obama); the 44th President of the United States; 1961
Donald Trump (Trump); the 45th and 47th President of the United States; 1946
Joe Biden (Biden); the 46th President of the United States; 1942
Kamala Harris; a vice president of the United States; 1964
Hillary Clinton; an American politician and secretary of state; 1947
Angela Merkel (Merkel); the chancellor of Germany from 2005 to 2021; 1954
Vladimir Putin (Putin); a president of Russia; 1952
Emmanuel Macron (Macron); a president of France; 1977
Volodymyr Zelensky (Zelensky); a president of Ukraine; 1978
Xi Jinping; a president of China; 1953
Narendra Modi; a prime minister of India; 1950
Boris Johnson; a prime minister of the United Kingdom; 1964
Justin Trudeau; a prime minister of Canada; 1971
Tony Blair; a prime minister of the United Kingdom; 1953
Queen Elizabeth II (Elizabeth II, Queen Elizabeth); the queen of the United Kingdom from 1952 to 2022; 1926; 2022
King Charles III (Charles III, King Charles); the king of the United Kingdom since 2022; 1948
Princess Diana (Lady Diana, Diana Spencer); a princess of Wales loved for her work for the poor and sick; 1961; 1997
Pope Francis; the pope from 2013 to 2025, born in Argentina; 1936; 2025
Pope John Paul II (John Paul II); the pope from 1978 to 2005, born in Poland; 1920; 2005
Kofi Annan; a secretary-general of the United Nations from Ghana; 1938; 2018
Desmond Tutu; a South African bishop who fought apartheid; 1931; 2021
Aung San Suu Kyi; a politician of Burma; 1945
Malala Yousafzai (Malala); a Pakistani activist for the education of girls; 1997
Greta Thunberg; a Swedish climate activist; 2003
Bill Gates; an American businessman who founded Microsoft; 1955
Steve Jobs; an American businessman who founded Apple; 1955; 2011
Steve Wozniak; an American engineer who founded Apple with Steve Jobs; 1950
Elon Musk; a businessman who leads Tesla and SpaceX; 1971
Jeff Bezos; an American businessman who founded Amazon; 1964
Mark Zuckerberg; an American businessman who founded Facebook; 1984
Larry Page; an American computer scientist who founded Google; 1973
Tim Berners-Lee; the English computer scientist who invented the World Wide Web; 1955
Linus Torvalds; the Finnish programmer who wrote Linux; 1969
Guido van Rossum; the Dutch programmer who made Python; 1956
Dennis Ritchie; the American computer scientist who made C; 1941; 2011
Ken Thompson; an American computer scientist who made Unix; 1943
Richard Stallman; an American programmer who started the GNU project; 1953
Donald Knuth; an American computer scientist who wrote The Art of Computer Programming; 1938
Edsger Dijkstra; a Dutch computer scientist; 1930; 2002
John von Neumann; a Hungarian-American mathematician; 1903; 1957
Ada Lovelace; an English mathematician who wrote the first computer program; 1815; 1852
Stephen Hawking (Hawking); an English physicist who studied black holes; 1942; 2018
Carl Sagan; an American astronomer and writer; 1934; 1996
Rosalind Franklin; an English chemist whose pictures showed the shape of DNA; 1920; 1958
Katherine Johnson; an American mathematician who worked for NASA; 1918; 2020
Jane Goodall; an English zoologist who studied chimpanzees; 1934; 2025
David Attenborough; an English maker of films about nature; 1926
Buzz Aldrin; an American astronaut, the second man on the Moon; 1930
Valentina Tereshkova; a Soviet cosmonaut, the first woman in space; 1937
Sally Ride; an American astronaut; 1951; 2012
Emmy Noether; a German mathematician; 1882; 1935
Lise Meitner; an Austrian physicist who explained nuclear fission; 1878; 1968
Dmitri Mendeleev (Mendeleev); the Russian chemist who made the periodic table; 1834; 1907
Freddie Mercury; an English singer of the band Queen; 1946; 1991
David Bowie; an English rock singer; 1947; 2016
Madonna; an American pop singer; 1958
Beyonce; an American pop singer; 1981
Taylor Swift; an American pop singer and songwriter; 1989
Lady Gaga; an American pop singer; 1986
Adele; an English singer; 1988
Rihanna; a pop singer from Barbados; 1988
Eminem; an American rapper; 1972
Kanye West; an American rapper; 1977
Ed Sheeran; an English singer; 1991
Elton John; an English singer and pianist; 1947
Justin Bieber; a Canadian pop singer; 1994
Whitney Houston; an American singer; 1963; 2012
Amy Winehouse; an English singer; 1983; 2011
Kurt Cobain; an American rock singer of the band Nirvana; 1967; 1994
Bob Marley; a Jamaican reggae singer; 1945; 1981
Stevie Wonder; an American singer and pianist; 1950
Paul McCartney; an English musician of the Beatles; 1942
Ringo Starr; the drummer of the Beatles; 1940
Mick Jagger; the singer of the Rolling Stones; 1943
Edith Piaf; a French singer; 1915; 1963
Tom Hanks; an American actor; 1956
Brad Pitt; an American actor; 1963
Leonardo DiCaprio; an American actor; 1974
Meryl Streep; an American actress; 1949
Julia Roberts; an American actress; 1967
Angelina Jolie; an American actress; 1975
Arnold Schwarzenegger; an Austrian-American actor and politician; 1947
Morgan Freeman; an American actor; 1937
Robin Williams; an American actor and comedian; 1951; 2014
Will Smith; an American actor and rapper; 1968
Johnny Depp; an American actor; 1963
Harrison Ford; an American actor; 1942
Emma Watson; an English actress; 1990
Audrey Hepburn; a British actress; 1929; 1993
Bruce Lee; an actor and master of martial arts; 1940; 1973
Jackie Chan; an actor from Hong Kong; 1954
Quentin Tarantino; an American film director; 1963
Christopher Nolan; a British-American film director; 1970
Stanley Kubrick; an American film director; 1928; 1999
George Lucas; the American film director who made Star Wars; 1944
Hayao Miyazaki; a Japanese maker of animated films; 1941
Oprah Winfrey (Oprah); an American television host; 1954
J.K. Rowling (Rowling, JK Rowling); the English writer of Harry Potter; 1965
Stephen King; an American writer of horror novels; 1947
Gabriel Garcia Marquez; a Colombian writer; 1927; 2014
Haruki Murakami; a Japanese novelist; 1949
Margaret Atwood; a Canadian novelist; 1939
Astrid Lindgren; a Swedish writer of books for children; 1907; 2002
Roald Dahl; a British writer of books for children; 1916; 1990
Hans Christian Andersen; a Danish writer of fairy tales; 1805; 1875
Lionel Messi (Messi); a football player from Argentina; 1987
Cristiano Ronaldo (Ronaldo); a football player from Portugal; 1985
Pele; a football player from Brazil; 1940; 2022
Diego Maradona (Maradona); a football player from Argentina; 1960; 2020
David Beckham; an English football player; 1975
Zinedine Zidane; a French football player; 1972
Michael Jordan; an American basketball player; 1963
LeBron James; an American basketball player; 1984
Kobe Bryant; an American basketball player; 1978; 2020
Mike Tyson; an American boxer; 1966
Usain Bolt; a sprinter from Jamaica; 1986
Serena Williams; an American tennis player; 1981
Roger Federer; a Swiss tennis player; 1981
Rafael Nadal; a Spanish tennis player; 1986
Novak Djokovic; a Serbian tennis player; 1987
Tiger Woods; an American golfer; 1975
Michael Phelps; an American swimmer; 1985
Simone Biles; an American gymnast; 1997
Lewis Hamilton; an English racing driver; 1985
Michael Schumacher; a German racing driver; 1969
Frida Kahlo; a Mexican painter; 1907; 1954
Gustav Klimt; an Austrian painter; 1862; 1918
Coco Chanel; a French designer of clothes; 1883; 1971
Anne Boleyn; the second wife of Henry VIII of England; 1501; 1536
Harry Potter; a young wizard in the novels of J.K. Rowling
Werner Heisenberg (Heisenberg); a German physicist of quantum mechanics; 1901; 1976
Johannes Vermeer (Vermeer, Jan Vermeer); a Dutch painter; 1632; 1675
Spartacus; a gladiator who led a revolt of slaves against Rome
Vasco da Gama; a Portuguese navigator who found the sea route to India; 1469; 1524
Franklin D. Roosevelt (FDR); the 32nd President of the United States; 1882; 1945
John F. Kennedy; the 35th President of the United States; 1917; 1963
Anne Frank; a Jewish girl known for the diary she wrote in hiding; 1929; 1945
Marlon Brando; an American actor; 1924; 2004
Billy the Kid; an outlaw of the American West; 1859; 1881
Batman; a hero of comic books who fights crime in Gotham City
Superman; a hero of comic books who can fly
Mickey Mouse; a cartoon mouse drawn by Walt Disney
Santa Claus; the old man who is said to bring presents at Christmas
"""
OWN_PLACES = """
Japan; a country of islands in eastern Asia, east of Korea
Czechia (the Czech Republic); a country in central Europe
Niger; a country in western Africa, mostly desert
South Sudan; a country in eastern Africa that left Sudan in 2011
North Macedonia; a country in southeastern Europe, on the Balkans
Eswatini; a small kingdom in southern Africa, formerly Swaziland
Machu Picchu; a ruined city of the Incas in the Andes of Peru
Burj Khalifa (the Burj Khalifa); a skyscraper in Dubai, 828 meters high
Silicon Valley; a center of computing in California, near San Francisco
Sydney Opera House (the Sydney Opera House); a concert hall in Sydney, Australia, with a roof like sails
Buckingham Palace; the home of the British king in London
Angkor Wat; a large temple in Cambodia
Petra; an ancient city cut into the rocks of Jordan
Notre Dame (Notre-Dame); a medieval cathedral in Paris
Central Park; a large park in Manhattan, New York
Area 51; a secret base of the American air force in Nevada
International Space Station (the International Space Station, the ISS, ISS); a laboratory in orbit around the Earth
Berlin Wall (the Berlin Wall); a wall that divided Berlin from 1961 to 1989
Titanic (the Titanic); a British passenger ship that hit an iceberg and sank in 1912
Uluru (Ayers Rock); a huge red rock in central Australia
Yellowstone (Yellowstone National Park); a national park in Wyoming with many geysers
Loch Ness; a deep lake in Scotland, said to hold a monster
Mona Lisa (the Mona Lisa); a portrait of a smiling woman by Leonardo da Vinci, kept in the Louvre
Leaning Tower of Pisa (the Leaning Tower of Pisa); a bell tower in Pisa, Italy, that leans
Brandenburg Gate (the Brandenburg Gate); a monument in Berlin
Mount Rushmore; a mountain in South Dakota with the heads of four presidents
Sagrada Familia (the Sagrada Familia); a church in Barcelona by Antoni Gaudi
Google; an American company known for its search engine
Microsoft; an American company known for Windows
Apple Inc.; an American company known for the iPhone
Facebook; a social network founded by Mark Zuckerberg
Wikipedia; a free encyclopedia on the internet that anyone can edit
YouTube; a site on the internet for watching videos
Netflix; an American company that streams films
Linux; a free operating system started by Linus Torvalds
Python; a programming language made by Guido van Rossum
Star Wars; a series of films by George Lucas set in a galaxy far away
Hamlet; a tragedy by William Shakespeare about a prince of Denmark
Olympic Games (the Olympic Games, the Olympics); a contest of many sports that is held every four years
World Cup (the World Cup); the championship of national football teams, held every four years
Silk Road (the Silk Road); the old trade routes between China and the Mediterranean
Northern Lights (the northern lights, aurora borealis); bands of coloured light in the sky of the far north
solar system (the solar system); the Sun with its eight planets and all else that circles it
periodic table (the periodic table); the table of the chemical elements in the order of their atomic numbers
"""


def in_wordnet() -> list[tuple[str, str]]:
    """(name, a word of its gloss or "")."""
    names = [n.strip() for n in IN_WORDNET.replace("\n", "|").split("|") if n.strip()]
    return [(n.partition(":")[0], n.partition(":")[2]) for n in names]


def own() -> Iterator[Row]:
    """Rows of OWN and OWN_PLACES; every other name is a subject of its own."""
    for text, kind in ((OWN, "person"), (OWN_PLACES, "place")):
        for line in text.strip().splitlines():
            names, value, *years = line.split("; ")
            name, _, others = names.rstrip(")").partition(" (")
            aliases = tuple(o for o in others.split(", ") if o)
            same = [a for a in aliases if a.removeprefix("the ").lower() == name.lower()]
            for subject in [same[0] if same else name, *(a for a in aliases if a not in same)]:
                also = (name,) if same and subject == same[0] else ()
                yield kind, subject, value, also, DOCS
                if kind == "place" and re.search(r"\b(in|near|on) (the )?[A-Z]", value):
                    yield "location", subject, value, also, DOCS // 2
                for year, what in zip(years, ("born", "died"), strict=False):
                    yield what, subject, year, (), DOCS // 2
